//! What the four sources make of a configuration, table by table.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::keys::KEYS;
use super::*;

fn sources(file: Option<&Path>, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
    Sources {
        file: file.map(Path::to_owned),
        flags: flags
            .iter()
            .map(|(name, text)| Flag {
                name: (*name).to_owned(),
                text: (*text).to_owned(),
                written: format!("--{name}"),
            })
            .collect(),
        environment: env
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect(),
    }
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("spanlake.yaml");
    std::fs::write(&path, text).expect("the file is written");
    (dir, path)
}

fn problems(file: Option<&Path>, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Vec<String> {
    Config::load(&sources(file, env, flags)).expect_err("is refused").0
}

#[test]
fn without_sources_the_defaults_hold() {
    let config = Config::load(&Sources::default()).expect("defaults are valid");
    assert_eq!(config, Config::defaults());
    assert_eq!(config.data_dir, PathBuf::from("./spanlake-data"));
    assert_eq!(config.grpc.address, Some(("localhost".to_owned(), 17271)));
    assert_eq!(config.otlp_grpc.address, Some(("localhost".to_owned(), 4317)));
    assert_eq!(config.otlp_http.address, Some(("localhost".to_owned(), 4318)));
    assert_eq!(config.admin.address, Some(("localhost".to_owned(), 17270)));
    assert!(!config.otlp_grpc.explicit);
    assert_eq!(config.memory_limit, MemoryLimit::Percent(60));
    assert_eq!(
        config.retention,
        Retention {
            time: Some(Duration::from_secs(7 * 86_400)),
            max_bytes: None,
            max_disk_percent: Some(80)
        }
    );
    assert_eq!(config.shutdown_timeout, Duration::from_secs(20));
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let (_dir, path) = file("storage:\n  data_dir: /from-file\n");
    let env = [("SPANLAKE_STORAGE_DATA_DIR", "/from-env")];
    let flag = [("storage.data_dir", "/from-flag")];
    let data_dir = |file: Option<&Path>, env: &[_], flags: &[_]| {
        Config::load(&sources(file, env, flags)).expect("is valid").data_dir
    };
    assert_eq!(data_dir(Some(&path), &env, &flag), PathBuf::from("/from-flag"));
    assert_eq!(data_dir(Some(&path), &env, &[]), PathBuf::from("/from-env"));
    assert_eq!(data_dir(Some(&path), &[], &[]), PathBuf::from("/from-file"));
    assert_eq!(data_dir(None, &[], &[]), PathBuf::from("./spanlake-data"));
}

#[test]
fn every_key_reaches_the_config_from_every_source() {
    let samples = [
        ("storage.data_dir", "/lake"),
        ("storage.lock_timeout", "3s"),
        ("storage.on_fsync_error", "exit"),
        ("listen_host", "0.0.0.0"),
        ("grpc.endpoint", ":1"),
        ("otlp.grpc.endpoint", ":2"),
        ("otlp.http.endpoint", "off"),
        ("admin.endpoint", "[::1]:4"),
        ("admin.allow_purge", "true"),
        ("memory.limit", "1GiB"),
        ("query.slow_threshold", "250ms"),
        ("retention.time", "0"),
        ("retention.max_bytes", "5GiB"),
        ("retention.max_disk_percent", "50%"),
        ("shutdown.timeout", "1m"),
        ("log.level", "debug"),
        ("log.format", "json"),
    ];
    assert_eq!(
        samples.map(|(name, _)| name).as_slice(),
        KEYS.iter().map(|k| k.name).collect::<Vec<_>>()
    );
    let yaml: String = samples.iter().map(|(name, text)| format!("{name}: '{text}'\n")).collect();
    let (_dir, path) = file(&yaml);
    let env: Vec<_> = KEYS.iter().zip(samples).map(|(key, (_, text))| (key.env(), text)).collect();
    let env: Vec<_> = env.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    for from in
        [sources(Some(&path), &[], &[]), sources(None, &env, &[]), sources(None, &[], &samples)]
    {
        let config = Config::load(&from).expect("is valid");
        let expected = Config {
            data_dir: PathBuf::from("/lake"),
            lock_timeout: Duration::from_secs(3),
            exit_on_fsync_error: true,
            grpc: Endpoint {
                key: "grpc.endpoint",
                address: Some(("0.0.0.0".to_owned(), 1)),
                explicit: true,
            },
            otlp_grpc: Endpoint {
                key: "otlp.grpc.endpoint",
                address: Some(("0.0.0.0".to_owned(), 2)),
                explicit: true,
            },
            otlp_http: Endpoint { key: "otlp.http.endpoint", address: None, explicit: true },
            admin: Endpoint {
                key: "admin.endpoint",
                address: Some(("::1".to_owned(), 4)),
                explicit: true,
            },
            allow_purge: true,
            memory_limit: MemoryLimit::Bytes(1 << 30),
            slow_query: Duration::from_millis(250),
            retention: Retention {
                time: None,
                max_bytes: Some(5 << 30),
                max_disk_percent: Some(50),
            },
            shutdown_timeout: Duration::from_secs(60),
            log_level: "debug".to_owned(),
            log_format: LogFormat::Json,
            settings: config.settings.clone(),
        };
        assert_eq!(config, expected);
        assert!(config.settings.all.iter().all(|setting| setting.origin != Origin::Default));
    }
}

#[test]
fn an_unknown_key_is_an_error_with_place_and_suggestion() {
    let (_dir, path) = file("log:\n  level: info\nretension:\n  time: 7d\n");
    let found = problems(Some(&path), &[], &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("spanlake.yaml line 4"), "{found:?}");
    assert!(found[0].contains("did you mean `retention.time`?"), "{found:?}");
    let found = problems(None, &[], &[("otlp.grpc.adress", ":1")]);
    assert!(found[0].contains("unknown key `otlp.grpc.adress`"), "{found:?}");
}

#[test]
fn all_problems_are_told_at_once_with_their_places() {
    let (_dir, path) =
        file("retention.time: soon\nnonsense: 1\ngrpc.endpoint: 17271\nlog.level:\n");
    let found =
        problems(Some(&path), &[("SPANLAKE_MEMORY_LIMIT", "lots")], &[("log.format", "xml")]);
    assert_eq!(found.len(), 6, "{found:#?}");
    let all = found.join("\n");
    for word in [
        "SPANLAKE_MEMORY_LIMIT",
        "line 1: `retention.time`",
        "line 2: unknown key `nonsense`",
        "write :17271",
        "line 4: `log.level` has no value",
        "flag --log.format",
    ] {
        assert!(all.contains(word), "{word} is missing in\n{all}");
    }
}

#[test]
fn values_are_expanded_in_every_source() {
    let (_dir, path) = file("storage.data_dir: ${env:BASE}/lake\nlog.level: ${env:LEVEL:-warn}\n");
    let env = [("BASE", "/mnt"), ("SPANLAKE_RETENTION_TIME", "${env:AGE:-3d}")];
    let config = Config::load(&sources(Some(&path), &env, &[("shutdown.timeout", "${env:T:-9s}")]))
        .expect("is valid");
    assert_eq!(config.data_dir, PathBuf::from("/mnt/lake"));
    assert_eq!(config.log_level, "warn");
    assert_eq!(config.retention.time, Some(Duration::from_secs(3 * 86_400)));
    assert_eq!(config.shutdown_timeout, Duration::from_secs(9));
    let found = problems(Some(&path), &[], &[]);
    assert!(found[0].contains("BASE is not set"), "{found:?}");
}

#[test]
fn null_and_its_friends_disable_a_listener() {
    for text in ["off", "false", "null", "~", "''", "", "\"null\""] {
        let (_dir, path) = file(&format!("otlp:\n  grpc:\n    endpoint: {text}\n"));
        let config = Config::load(&sources(Some(&path), &[], &[])).expect(text);
        assert_eq!(config.otlp_grpc.address, None, "{text}");
    }
    let env = [("SPANLAKE_OTLP_HTTP_ENDPOINT", "")];
    let config = Config::load(&sources(None, &env, &[])).expect("is valid");
    assert_eq!(config.otlp_http.address, None);
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    let env = [("SPANLAKE_RETENTION_TIME", ""), ("SPANLAKE_CONFIG", "")];
    let config = Config::load(&sources(None, &env, &[])).expect("is valid");
    assert_eq!(config.settings.all, Config::defaults().settings.all);
}

#[test]
fn unknown_variables_warn_and_service_links_are_ignored() {
    let env = [
        ("SPANLAKE_PORT", "tcp://10.96.12.7:17271"),
        ("SPANLAKE_SERVICE_HOST", "10.96.12.7"),
        ("SPANLAKE_SERVICE_PORT", "17271"),
        ("SPANLAKE_PORT_17271_TCP", "tcp://10.96.12.7:17271"),
        ("SPANLAKE_PORT_17271_TCP_PROTO", "tcp"),
        ("SPANLAKE_PORT_17271_TCP_PORT", "17271"),
        ("SPANLAKE_PORT_17271_TCP_ADDR", "10.96.12.7"),
        ("SPANLAKE_RETENSION_TIME", "1d"),
        ("OTHER_THING", "1"),
    ];
    let config = Config::load(&sources(None, &env, &[])).expect("is valid");
    assert_eq!(config.settings.warnings.len(), 1, "{:?}", config.settings.warnings);
    assert!(config.settings.warnings[0].contains("did you mean SPANLAKE_RETENTION_TIME?"));
    assert_eq!(config.settings.all, Config::defaults().settings.all);
}

#[test]
fn the_file_may_be_named_by_variable_and_must_exist() {
    let (_dir, path) = file("log.level: warn\n");
    let name = path.to_str().expect("is UTF-8");
    let config = Config::load(&sources(None, &[("SPANLAKE_CONFIG", name)], &[])).expect("is valid");
    assert_eq!(config.log_level, "warn");
    assert_eq!(config.settings.file.as_deref(), Some(path.as_path()));
    let found = problems(Some(Path::new("/nowhere/spanlake.yaml")), &[], &[]);
    assert!(found[0].contains("/nowhere/spanlake.yaml"), "{found:?}");
}

#[test]
fn a_flag_given_twice_and_a_tiny_memory_limit_are_refused() {
    let twice = [("log.level", "info"), ("log.level", "warn")];
    assert!(problems(None, &[], &twice)[0].contains("twice"));
    assert!(problems(None, &[], &[("memory.limit", "1MiB")])[0].contains("64MiB"));
    assert!(problems(None, &[], &[("memory.limit", "0%")])[0].contains("0%"));
}

#[test]
fn what_is_printed_can_be_read_again() {
    let env =
        [("SPANLAKE_STORAGE_DATA_DIR", "/a b: c#$${x}"), ("SPANLAKE_OTLP_HTTP_ENDPOINT", "off")];
    let first =
        Config::load(&sources(None, &env, &[("grpc.endpoint", "[::1]:9")])).expect("is valid");
    let printed = print_text(&first.settings);
    assert!(printed.contains("# environment SPANLAKE_STORAGE_DATA_DIR"), "{printed}");
    assert!(printed.contains("# flag --grpc.endpoint"), "{printed}");
    assert!(printed.contains("# default"), "{printed}");
    let (_dir, path) = file(&printed);
    let second = Config::load(&sources(Some(&path), &[], &[])).expect("is valid");
    assert_eq!(second.data_dir, PathBuf::from("/a b: c#${x}"));
    let texts = |config: &Config| -> Vec<String> {
        config.settings.all.iter().map(|setting| setting.text.clone()).collect()
    };
    assert_eq!(texts(&first), texts(&second));
}

proptest::proptest! {
    /// Whatever a file, a flag or a variable holds, the answer is values or words, not a panic.
    #[test]
    fn nothing_that_is_written_crashes(
        file_text in "([a-z._]{0,6}|[-:\\[\\]{}&*!|>'\"%@`#,? \n\t~$é\u{0}])*",
        value in ".*",
        number in "[0-9.]{0,24}[a-zA-Zµ%]{0,4}",
    ) {
        let (_dir, path) = file(&file_text);
        let _ = Config::load(&sources(Some(&path), &[], &[]));
        for text in [&value, &number] {
            for key in KEYS {
                let _ = Config::load(&sources(None, &[], &[(key.name, text)]));
                let _ = Config::load(&sources(None, &[(&key.env(), text)], &[]));
            }
        }
    }
}

//! The official SDKs as writers: opentelemetry-python and opentelemetry-js export to Spanlake's
//! OTLP ports, gRPC and HTTP, and every span comes back as the SDK itself encodes it.

use std::path::{Path, PathBuf};

use spanlake_tests::e2e::{Oracle, Result, Spanlake, install, need, run_program};
use spanlake_tests::or_skip;

fn sdk(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(name)
}

/// Lets a writer program fill a fresh server and compares what it left in its folder.
fn writes_come_back(program: &Path, script: &Path, transports: usize) -> Result<()> {
    let oracle = Oracle::build()?;
    let dir = tempfile::tempdir()?;
    let server = Spanlake::start(dir.path(), &[])?;
    let out = dir.path().join("sent");
    std::fs::create_dir(&out)?;
    let ports = [server.ports.otlp_grpc.to_string(), server.ports.otlp_http.to_string()];
    run_program(program, &[script.as_ref(), ports[0].as_ref(), ports[1].as_ref(), out.as_ref()])?;
    let sent: Vec<String> = std::fs::read_dir(&out)?
        .map(|entry| Ok(entry?.path().display().to_string()))
        .collect::<Result<_>>()?;
    assert_eq!(sent.len(), transports, "one file a transport: {sent:?}");
    let grpc = server.grpc();
    let mut args = vec!["same", "--grpc", &grpc];
    args.extend(sent.iter().map(String::as_str));
    oracle.run(&args)?;
    Ok(())
}

#[test]
fn opentelemetry_python_writes_to_both_ports() -> Result<()> {
    or_skip!(need("opentelemetry-python", &["go", "python3"]));
    let lock = sdk("python").join("requirements.txt");
    let venv = install("python", std::slice::from_ref(&lock), |dir| {
        run_program(Path::new("python3"), &["-m".as_ref(), "venv".as_ref(), dir.as_ref()])?;
        let pip = dir.join("bin/pip");
        run_program(&pip, &["install".as_ref(), "-q".as_ref(), "-r".as_ref(), lock.as_ref()])
    })?;
    writes_come_back(&venv.join("bin/python"), &sdk("python").join("write.py"), 4)
}

#[test]
fn opentelemetry_js_writes_to_both_ports() -> Result<()> {
    or_skip!(need("opentelemetry-js", &["go", "node", "npm"]));
    let locks = ["package.json", "package-lock.json"].map(|name| sdk("js").join(name));
    let folder = install("js", &locks, |dir| {
        for lock in &locks {
            let name = lock.file_name().ok_or("a file has a name")?;
            std::fs::copy(lock, dir.join(name))?;
        }
        let quiet = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"];
        let mut args: Vec<&std::ffi::OsStr> = quiet.iter().map(|a| a.as_ref()).collect();
        args.push(dir.as_ref());
        run_program(Path::new("npm"), &args)
    })?;
    // Node looks for packages beside the script.
    let script = folder.join("write.mjs");
    std::fs::copy(sdk("js").join("write.mjs"), &script)?;
    writes_come_back(Path::new("node"), &script, 3)
}

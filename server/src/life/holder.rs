//! Who listens on a port: `/proc/net/tcp` names the socket, `/proc/PID/fd` names its process. Best
//! effort, for the words of a message; other users' processes stay nameless.

use std::path::Path;

/// Names what listens on `port`, such as `process 4711 (jaeger)`.
pub(super) fn of_port(port: u16) -> Option<String> {
    let proc = Path::new("/proc");
    let inode = ["net/tcp", "net/tcp6"].iter().find_map(|table| {
        let text = std::fs::read_to_string(proc.join(table)).ok()?;
        text.lines().find_map(|line| listening_inode(line, port))
    })?;
    let (pid, name) = process_with_socket(proc, inode)?;
    if pid == std::process::id() {
        return Some("another endpoint of this server".to_owned());
    }
    Some(format!("process {pid} ({name})"))
}

/// The socket inode of a line of `/proc/net/tcp` that listens on `port`.
fn listening_inode(line: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next()?;
    let state = fields.nth(1)?;
    let (_, hex) = local.rsplit_once(':')?;
    if state != LISTEN || u16::from_str_radix(hex, 16).ok()? != port {
        return None;
    }
    // After the state: queues, timer, retransmits, uid, timeout, inode.
    fields.nth(5)?.parse().ok()
}

fn process_with_socket(proc: &Path, inode: u64) -> Option<(u32, String)> {
    let wanted = format!("socket:[{inode}]");
    for entry in std::fs::read_dir(proc).ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(files) = std::fs::read_dir(entry.path().join("fd")) else { continue };
        for file in files.flatten() {
            if std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str()) {
                let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                return Some((pid, name.trim().to_owned()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_line_is_read() {
        let listening = "   0: 0100007F:10DD 00000000:0000 0A 00000000:00000000 00:00000000 \
                         00000000  1000        0 4242 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listening_inode(listening, 0x10dd), Some(4242));
        assert_eq!(listening_inode(listening, 80), None);
        assert_eq!(listening_inode(&listening.replace(" 0A ", " 01 "), 0x10dd), None);
        assert_eq!(listening_inode("  sl  local_address rem_address   st", 80), None);
    }

    #[test]
    fn our_own_listener_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("has an address").port();
        assert_eq!(of_port(port).as_deref(), Some("another endpoint of this server"));
    }
}

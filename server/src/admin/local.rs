//! The guard before pages that read or change data: they answer this machine only, whatever
//! `listen_host` says, until there are tokens. A browser on this machine is a stranger too: a web
//! page could send it here, so what carries an `Origin` or another host's name is refused.

use std::net::IpAddr;

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::life::listen::Peer;

/// Lets requests of this machine pass.
pub(super) async fn only(request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|info| info.0.0.ip());
    match stranger(peer, request.headers()) {
        None => next.run(request).await,
        Some(why) => {
            let path = request.uri().path();
            let body = format!(
                "{path} answers on the server's own machine only, and {why}: ask through \
                 127.0.0.1 or ::1 there, for instance with the `spanlake` command\n"
            );
            (StatusCode::FORBIDDEN, body).into_response()
        }
    }
}

/// Why a request is not of this machine; an unknown peer is a stranger.
fn stranger(peer: Option<IpAddr>, headers: &HeaderMap) -> Option<String> {
    let Some(peer) = peer else { return Some("the peer is unknown".to_owned()) };
    if !peer.to_canonical().is_loopback() {
        return Some(format!("the request comes from {peer}"));
    }
    if headers.contains_key(header::ORIGIN) {
        return Some("the request comes from a web page".to_owned());
    }
    match headers.get(header::HOST) {
        Some(host) if !host.to_str().is_ok_and(names_this_machine) => {
            Some("the request names another host".to_owned())
        }
        _ => None,
    }
}

/// `localhost` or a loopback address, with or without a port. A name that merely leads here does
/// not count: any web page may own one.
fn names_this_machine(host: &str) -> bool {
    let port = |text: &str| text.parse::<u16>().is_ok();
    let name = match host.rsplit_once(':') {
        Some((name, after)) if port(after) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(peer: &str, headers: &[(header::HeaderName, &str)]) -> Option<String> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        stranger(Some(peer.parse().unwrap()), &headers.collect())
    }

    #[test]
    fn this_machine_is_let_in_under_each_of_its_names() {
        for peer in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(refused(peer, &[]), None);
        }
        for host in ["localhost", "LocalHost:17270", "127.0.0.1:1", "127.0.0.1", "[::1]:17270"] {
            assert_eq!(refused("127.0.0.1", &[(header::HOST, host)]), None, "{host}");
        }
    }

    #[test]
    fn other_machines_and_web_pages_are_not() {
        assert!(stranger(None, &HeaderMap::new()).is_some());
        for peer in ["10.0.0.1", "192.168.1.5", "2001:db8::1", "::ffff:10.0.0.1", "0.0.0.0"] {
            assert!(refused(peer, &[]).unwrap().contains(peer), "{peer}");
        }
        for host in ["evil.example", "evil.example:17270", "10.0.0.1:17270", "localhost.evil"] {
            assert!(refused("127.0.0.1", &[(header::HOST, host)]).is_some(), "{host}");
        }
        let page = [(header::HOST, "localhost:17270"), (header::ORIGIN, "https://evil.example")];
        assert!(refused("::1", &page).unwrap().contains("web page"));
    }
}

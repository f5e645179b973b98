//! Kubernetes service links. A service called `spanlake` makes the kubelet put variables such as
//! `SPANLAKE_PORT=tcp://10.0.0.7:17271` into every pod of its namespace, ours included. They look
//! like our settings and are not.

/// Whether a variable is a service link rather than a setting someone meant.
///
/// For a service S these are `S_SERVICE_HOST`, `S_SERVICE_PORT`, `S_SERVICE_PORT_<port name>`,
/// `S_PORT=tcp://…` and `S_PORT_<number>_<protocol>` with `_PROTO`, `_PORT`, `_ADDR`; S is
/// `SPANLAKE` or begins with `SPANLAKE_` (services `spanlake-headless`, `spanlake-otlp`).
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") {
        return true;
    }
    if name.contains("_SERVICE_PORT_") {
        return value.parse::<u16>().is_ok();
    }
    if name.ends_with("_PORT") && is_link_url(value) {
        return true;
    }
    name.match_indices("_PORT_").any(|(at, found)| is_numbered_port(&name[at + found.len()..]))
}

fn is_link_url(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme))
}

/// `17271_TCP`, `17271_TCP_PROTO`, `17271_TCP_PORT`, `17271_TCP_ADDR`.
fn is_numbered_port(rest: &str) -> bool {
    let mut parts = rest.split('_');
    let number = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
    let protocol = matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"));
    let detail = matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR"));
    number && protocol && detail && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_the_kubelet_makes_is_recognised() {
        for (name, value) in [
            ("SPANLAKE_SERVICE_HOST", "10.96.12.7"),
            ("SPANLAKE_SERVICE_PORT", "17271"),
            ("SPANLAKE_SERVICE_PORT_STORAGE", "17271"),
            ("SPANLAKE_SERVICE_PORT_OTLP_GRPC", "4317"),
            ("SPANLAKE_PORT", "tcp://10.96.12.7:17271"),
            ("SPANLAKE_PORT_17271_TCP", "tcp://10.96.12.7:17271"),
            ("SPANLAKE_PORT_17271_TCP_PROTO", "tcp"),
            ("SPANLAKE_PORT_17271_TCP_PORT", "17271"),
            ("SPANLAKE_PORT_17271_TCP_ADDR", "10.96.12.7"),
            ("SPANLAKE_HEADLESS_SERVICE_HOST", "None"),
            ("SPANLAKE_OTLP_PORT_4317_TCP", "tcp://10.96.12.8:4317"),
            ("SPANLAKE_DNS_PORT_53_UDP_ADDR", "10.96.0.10"),
        ] {
            assert!(is_service_link(name, value), "{name}={value}");
        }
    }

    #[test]
    fn a_mistyped_setting_is_not_taken_for_a_link() {
        for (name, value) in [
            ("SPANLAKE_RETENSION_TIME", "7d"),
            ("SPANLAKE_PORT", "4317"),
            ("SPANLAKE_GRPC_PORT", "17271"),
            ("SPANLAKE_PORT_A_TCP", "x"),
            ("SPANLAKE_PORT_17271_HTTP", "x"),
            ("SPANLAKE_SERVICE_PORT_X", "fast"),
        ] {
            assert!(!is_service_link(name, value), "{name}={value}");
        }
    }
}

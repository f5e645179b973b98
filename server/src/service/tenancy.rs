//! Whose spans a request means. Only the default tenancy is served so far; a request that names
//! another must not be mixed into it, so it is refused by name.

use http::HeaderMap;
use spanlake::Tenancy;

use crate::status::{Refusal, TENANCY_UNSUPPORTED};

/// Headers (gRPC metadata is the same) that name a tenant or a namespace.
const HEADERS: [&str; 2] = ["x-tenant", "x-namespace"];

/// The tenancy a request's headers name.
///
/// # Errors
/// Names the header: tenants and namespaces are not served yet.
pub fn tenancy(headers: &HeaderMap) -> Result<Tenancy, Refusal> {
    for name in HEADERS {
        let Some(value) = headers.get(name) else { continue };
        let value: String = String::from_utf8_lossy(value.as_bytes()).chars().take(64).collect();
        return Err(Refusal::invalid(format!(
            "the request names {name} {value:?}, and this version serves no tenants or \
             namespaces: remove the header, or run one server for each tenant"
        ))
        .reason(TENANCY_UNSUPPORTED));
    }
    Ok(Tenancy::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_tenant_or_namespace_is_refused_by_name() {
        for name in HEADERS {
            let mut headers = HeaderMap::new();
            headers.insert(name, "acme".parse().unwrap());
            let refusal = tenancy(&headers).unwrap_err();
            assert!(refusal.message.contains(name) && refusal.message.contains("acme"));
            assert_eq!(refusal.http().as_u16(), 400);
        }
        assert_eq!(tenancy(&HeaderMap::new()).unwrap(), Tenancy::default());
    }
}

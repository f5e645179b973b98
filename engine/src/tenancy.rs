//! Tenant and namespace: whose spans these are. Both stand in every engine call, log frame,
//! catalog key and path from the first format, although only `default` is served so far.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Longest tenant or namespace name, in bytes.
pub const TENANCY_NAME_BYTES_MAX: usize = 64;

/// One tenant's namespace; orders and hashes by both names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenancy {
    tenant: Arc<str>,
    namespace: Arc<str>,
}

impl Tenancy {
    /// A tenancy of these names: 1 to 64 of `a-z 0-9 _ -`, since they become directory names.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) names the offending name.
    pub fn new(tenant: &str, namespace: &str) -> Result<Self> {
        for (what, name) in [("tenant", tenant), ("namespace", namespace)] {
            let good = !name.is_empty()
                && name.len() <= TENANCY_NAME_BYTES_MAX
                && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
            if !good {
                return Err(Error::invalid(format!(
                    "{what} {name:?} is not a name of 1 to {TENANCY_NAME_BYTES_MAX} characters a-z, 0-9, _ or -"
                )));
            }
        }
        Ok(Self { tenant: tenant.into(), namespace: namespace.into() })
    }

    /// The tenant's name.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The namespace's name.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

impl Default for Tenancy {
    fn default() -> Self {
        Self { tenant: "default".into(), namespace: "default".into() }
    }
}

impl fmt::Display for Tenancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.namespace)
    }
}

//! Who plays in the shop: its services, with the resource and scope their SDKs would send.
//!
//! A service and an instance number flow in, OTLP's resource and scope flow out.

use spanlake_proto::otlp::common::InstrumentationScope;
use spanlake_proto::otlp::resource::Resource;

use super::attributes::{flag, int, text, texts};

/// A service of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Service {
    Frontend,
    Catalog,
    Recommendation,
    Cart,
    Checkout,
    Payment,
    Shipping,
    Email,
}

/// OpenTelemetry's schema that the attributes' names follow.
pub(super) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.37.0";

impl Service {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Catalog => "catalog",
            Self::Recommendation => "recommendation",
            Self::Cart => "cart",
            Self::Checkout => "checkout",
            Self::Payment => "payment",
            Self::Shipping => "shipping",
            Self::Email => "email",
        }
    }

    /// Package of its RPCs.
    pub(super) fn rpc(self) -> String {
        format!("shop.v1.{}", self.name())
    }

    fn language(self) -> &'static str {
        match self {
            Self::Frontend | Self::Payment => "nodejs",
            Self::Catalog | Self::Checkout => "go",
            Self::Recommendation => "python",
            Self::Cart => "dotnet",
            Self::Shipping => "rust",
            Self::Email => "ruby",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Frontend => "4.12.1",
            Self::Checkout => "2.7.0-rc.1",
            Self::Payment => "1.19.3",
            _ => "3.0.4",
        }
    }

    /// The resource of one of its instances.
    pub(super) fn resource(self, instance: u64) -> Resource {
        let name = self.name();
        let mut attributes = vec![
            text("service.name", name),
            text("service.namespace", "shop"),
            text("service.version", self.version()),
            text("service.instance.id", format!("{name}-{instance}")),
            text("telemetry.sdk.language", self.language()),
            text("telemetry.sdk.name", "opentelemetry"),
            text("host.name", format!("node-{}", instance % 3)),
            int("process.pid", 1_000 + (self as i64) * 10 + instance as i64),
            text("deployment.environment.name", "demo"),
        ];
        if self == Self::Frontend {
            let command = ["node", "--require", "./instrument.js", "server.js"];
            attributes.push(texts("process.command_args", command.map(String::from)));
        }
        Resource { attributes, ..Default::default() }
    }

    /// The instrumentation that makes its spans.
    pub(super) fn scope(self) -> InstrumentationScope {
        let (name, version) = match self.language() {
            "nodejs" => ("@opentelemetry/instrumentation-http", "0.203.0"),
            "go" => (
                "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
                "0.62.0",
            ),
            "python" => ("opentelemetry.instrumentation.grpc", "0.57b0"),
            "dotnet" => ("OpenTelemetry.Instrumentation.AspNetCore", "1.12.0"),
            "rust" => ("tracing-opentelemetry", "0.31.0"),
            _ => ("OpenTelemetry::Instrumentation::Rack", "0.27.1"),
        };
        let attributes =
            if self == Self::Frontend { vec![flag("app.hand_written", false)] } else { Vec::new() };
        InstrumentationScope {
            name: name.to_owned(),
            version: version.to_owned(),
            attributes,
            ..Default::default()
        }
    }
}

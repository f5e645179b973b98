//! What this storage declares. Jaeger keeps the answer for its process's life, so nothing is
//! declared before all of it holds (jaeger-contract §1.6).

use spanlake_proto::jaeger::storage::v2::{
    GetCapabilitiesRequest, GetCapabilitiesResponse, SearchCapabilities,
};
use spanlake_proto::server::Capabilities;
use tonic::{Request, Response, Status};

/// The door for capabilities; it needs no store.
#[derive(Debug, Clone, Copy)]
pub struct CapabilitiesDoor;

#[tonic::async_trait]
impl Capabilities for CapabilitiesDoor {
    async fn get_capabilities(
        &self,
        _: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<GetCapabilitiesResponse>, Status> {
        let search = SearchCapabilities {
            without_service_name: true,
            same_span_conjunction: true,
            filter: None,
            paginated: true,
            span_search: false,
            span_sorting: false,
        };
        Ok(Response::new(GetCapabilitiesResponse { search: Some(search) }))
    }
}

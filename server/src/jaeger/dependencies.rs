//! The service graph, answered live: calls whose child span starts in `[start, end)`.

use std::sync::Arc;

use spanlake_proto::jaeger::storage::v2::{
    Dependency, GetDependenciesRequest, GetDependenciesResponse,
};
use spanlake_proto::server::DependencyReader;
use tonic::{Request, Response, Status};

use super::time::{Bound, bound};
use crate::service::{Service, tenancy};
use crate::status::Refusal;

/// The door for dependencies.
#[derive(Debug, Clone)]
pub struct DependencyDoor(pub Arc<Service>);

#[tonic::async_trait]
impl DependencyReader for DependencyDoor {
    async fn get_dependencies(
        &self,
        request: Request<GetDependenciesRequest>,
    ) -> Result<Response<GetDependenciesResponse>, Status> {
        let mut question = self.0.question("get_dependencies");
        let tenancy = tenancy(request.metadata().as_ref())?;
        let (start, end) = window(request.get_ref())?;
        question.about(format!("calls of spans that start in {start:?}..{end:?} ns"));
        let found = self
            .0
            .ask(&question, move |view, cancel| view.dependencies(&tenancy, start, end, &cancel))
            .await?;
        question.found(found.len());
        question.answered();
        let dependencies = found
            .into_iter()
            .map(|edge| Dependency {
                parent: edge.parent,
                child: edge.child,
                call_count: edge.call_count,
                source: String::new(),
            })
            .collect();
        Ok(Response::new(GetDependenciesResponse { dependencies }))
    }
}

fn window(request: &GetDependenciesRequest) -> Result<(Option<u64>, Option<u64>), Refusal> {
    // An end of 0 is before every span, and a start of the last nanosecond leaves none that the
    // half-open window could hold.
    let end = match bound("end_time", request.end_time.as_ref())? {
        Bound::Unset | Bound::AfterAll => None,
        Bound::BeforeAll => Some(0),
        Bound::At(nanos) => Some(nanos),
    };
    match bound("start_time", request.start_time.as_ref())? {
        Bound::Unset | Bound::BeforeAll => Ok((None, end)),
        Bound::At(nanos) => Ok((Some(nanos), end)),
        Bound::AfterAll => Ok((None, Some(0))),
    }
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    #[test]
    fn unset_bounds_are_open_and_impossible_ones_empty() {
        let of = |start: Option<i64>, end: Option<i64>| {
            let time = |seconds: i64| Timestamp { seconds, nanos: 0 };
            let request =
                GetDependenciesRequest { start_time: start.map(time), end_time: end.map(time) };
            window(&request).unwrap()
        };
        let year_one = Some(-62_135_596_800);
        assert_eq!(of(None, None), (None, None));
        assert_eq!(of(year_one, year_one), (None, None));
        assert_eq!(of(Some(1), Some(2)), (Some(1_000_000_000), Some(2_000_000_000)));
        assert_eq!(of(Some(-1), Some(i64::MAX)), (None, None));
        assert_eq!(of(Some(1), Some(-1)), (Some(1_000_000_000), Some(0)));
        assert_eq!(of(Some(i64::MAX), None), (None, Some(0)));
    }
}

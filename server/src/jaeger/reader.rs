//! `TraceReader`: traces by id, searches, names of services and operations.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;

use spanlake::{Cancel, Cursor, Page, SpanKind, Tenancy, TraceId, TraceQuery, View};
use spanlake_proto::jaeger::storage::v2::{
    FindSpansRequest, FindSpansResponse, FindTraceIDsRequest, FindTraceIDsResponse,
    FindTraceSummariesRequest, FindTraceSummariesResponse, FindTracesRequest, FoundTraceId,
    GetOperationsRequest, GetOperationsResponse, GetServicesRequest, GetServicesResponse,
    GetTraceParams, GetTracesRequest, Operation,
};
use spanlake_proto::raw::RawMessage;
use spanlake_proto::server::TraceReader;
use tokio_stream::{Stream, StreamExt as _};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::query::{Asked, Pages, Search, search};
use super::summaries::batches;
use crate::service::{Chunks, Question, Service, tenancy};
use crate::status::Refusal;

/// The door for traces.
#[derive(Debug, Clone)]
pub struct TraceReaderDoor(pub Arc<Service>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The two forms in which the engine gives the same results.
struct Read<T> {
    whole: fn(&View, &Tenancy, &TraceQuery, &Cancel) -> spanlake::Result<Vec<T>>,
    page: ReadPage<T>,
}

type ReadPage<T> =
    fn(&View, &Tenancy, &TraceQuery, Option<Cursor>, &Cancel) -> spanlake::Result<Page<T>>;

impl TraceReaderDoor {
    /// The results of a search or of one page of it, with the next page's token.
    async fn paged<T: Send + 'static>(
        &self,
        question: &mut Question,
        tenancy: Tenancy,
        search: &Search,
        read: Read<T>,
    ) -> Result<(Vec<T>, String), Refusal> {
        question.about(search.query.outline());
        let (query, asked) = (search.query.clone(), search.page);
        let read = move |view: &View, cancel: Cancel| match asked {
            Some(Asked { after }) => (read.page)(view, &tenancy, &query, after, &cancel),
            None => {
                let found = (read.whole)(view, &tenancy, &query, &cancel)?;
                Ok(Page { found, next: None })
            }
        };
        let Page { found, next } = self.0.ask(question, read).await?;
        question.found(found.len());
        Ok((found, search.token(next)))
    }
}

/// Metadata of an answer whose `search_depth` was cut, with the depth that held.
const DEPTH_HEADER: &str = "x-spanlake-search-depth";

#[tonic::async_trait]
impl TraceReader for TraceReaderDoor {
    type GetTracesStream = Answers<RawMessage>;
    type FindTracesStream = Answers<RawMessage>;
    type FindSpansStream = Answers<FindSpansResponse>;
    type FindTraceSummariesStream = Answers<FindTraceSummariesResponse>;

    async fn get_traces(
        &self,
        request: Request<GetTracesRequest>,
    ) -> Result<Response<Self::GetTracesStream>, Status> {
        let mut question = self.0.question("get_traces");
        let tenancy = tenancy(request.metadata().as_ref())?;
        let ids = trace_ids(&request.get_ref().query)?;
        question.about(format!("{} traces by id", ids.len()));
        let read = move |view: &View, cancel| Ok(view.get_traces(&tenancy, ids, cancel));
        let chunks = self.0.stream(question, read).await?;
        Ok(Response::new(raw(chunks)))
    }

    async fn find_traces(
        &self,
        request: Request<FindTracesRequest>,
    ) -> Result<Response<Self::FindTracesStream>, Status> {
        let mut question = self.0.question("find_traces");
        let (metadata, _, message) = request.into_parts();
        let (tenancy, search) = asked(metadata.as_ref(), || search(message.query, Pages::Never))?;
        question.about(search.query.outline());
        let query = search.query.clone();
        let read = move |view: &View, cancel: Cancel| view.find_traces(&tenancy, &query, &cancel);
        let chunks = self.0.stream(question, read).await?;
        Ok(told(&search, raw(chunks)))
    }

    async fn find_spans(
        &self,
        _: Request<FindSpansRequest>,
    ) -> Result<Response<Self::FindSpansStream>, Status> {
        Err(Status::unimplemented("FindSpans is not served by this version"))
    }

    async fn find_trace_i_ds(
        &self,
        request: Request<FindTraceIDsRequest>,
    ) -> Result<Response<FindTraceIDsResponse>, Status> {
        let mut question = self.0.question("find_trace_ids");
        let (metadata, _, message) = request.into_parts();
        let (tenancy, search) = asked(metadata.as_ref(), || search(message.query, Pages::Served))?;
        let read = Read {
            whole: |view, tenancy, query, cancel| view.find_trace_ids(tenancy, query, cancel),
            page: |view, tenancy, query, after, cancel| {
                view.page_trace_ids(tenancy, query, after, cancel)
            },
        };
        let (found, next_page_token) = self.paged(&mut question, tenancy, &search, read).await?;
        question.answered();
        // Start and end are hints; without them a reader looks everywhere, which is always right.
        let trace_ids = found
            .into_iter()
            .map(|trace| FoundTraceId {
                trace_id: trace.trace_id.0.to_vec(),
                start: None,
                end: None,
            })
            .collect();
        let answer = FindTraceIDsResponse { trace_ids, next_page_token };
        Ok(told(&search, answer))
    }

    async fn find_trace_summaries(
        &self,
        request: Request<FindTraceSummariesRequest>,
    ) -> Result<Response<Self::FindTraceSummariesStream>, Status> {
        let mut question = self.0.question("find_trace_summaries");
        let (metadata, _, message) = request.into_parts();
        let (tenancy, search) = asked(metadata.as_ref(), || search(message.query, Pages::Served))?;
        let read = Read {
            whole: |view, tenancy, query, cancel| view.find_summaries(tenancy, query, cancel),
            page: |view, tenancy, query, after, cancel| {
                view.page_summaries(tenancy, query, after, cancel)
            },
        };
        let (found, token) = self.paged(&mut question, tenancy, &search, read).await?;
        question.answered();
        let answers: Self::FindTraceSummariesStream =
            Box::pin(tokio_stream::iter(batches(found, token).map(Ok)));
        Ok(told(&search, answers))
    }

    async fn get_services(
        &self,
        request: Request<GetServicesRequest>,
    ) -> Result<Response<GetServicesResponse>, Status> {
        let mut question = self.0.question("get_services");
        let tenancy = tenancy(request.metadata().as_ref())?;
        question.about("all services");
        let services = self.0.ask(&question, move |view, _| view.services(&tenancy)).await?;
        question.found(services.len());
        question.answered();
        Ok(Response::new(GetServicesResponse { services }))
    }

    async fn get_operations(
        &self,
        request: Request<GetOperationsRequest>,
    ) -> Result<Response<GetOperationsResponse>, Status> {
        let mut question = self.0.question("get_operations");
        let tenancy = tenancy(request.metadata().as_ref())?;
        let GetOperationsRequest { service, span_kind } = request.into_inner();
        if service.is_empty() {
            return Err(Refusal::invalid("the request names no service").into());
        }
        let kind = kind(&span_kind)?;
        question.about("the operations of a service");
        let found =
            self.0.ask(&question, move |view, _| view.operations(&tenancy, &service, kind)).await?;
        question.found(found.len());
        question.answered();
        let operations = found
            .into_iter()
            .map(|operation| Operation {
                name: operation.name,
                span_kind: operation.kind.word().into(),
            })
            .collect();
        Ok(Response::new(GetOperationsResponse { operations }))
    }
}

fn asked(
    headers: &http::HeaderMap,
    search: impl FnOnce() -> Result<Search, Refusal>,
) -> Result<(Tenancy, Search), Refusal> {
    Ok((tenancy(headers)?, search()?))
}

/// The answer, which tells if fewer traces were looked for than asked.
fn told<T>(search: &Search, answer: T) -> Response<T> {
    let mut response = Response::new(answer);
    if search.cut {
        let depth = MetadataValue::from(search.query.limit as u64);
        response.metadata_mut().insert(DEPTH_HEADER, depth);
    }
    response
}

/// Ids in the order asked, each once: the pieces of a trace must follow each other.
fn trace_ids(query: &[GetTraceParams]) -> Result<Vec<TraceId>, Refusal> {
    let mut seen = HashSet::with_capacity(query.len());
    let mut ids = Vec::with_capacity(query.len());
    for (index, parameters) in query.iter().enumerate() {
        let id = TraceId::from_slice(&parameters.trace_id)
            .map_err(|error| Refusal::invalid(format!("query[{index}].trace_id: {error}")))?;
        if seen.insert(id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn kind(word: &str) -> Result<Option<SpanKind>, Refusal> {
    if word.is_empty() {
        return Ok(None);
    }
    if word.eq_ignore_ascii_case("unspecified") {
        return Ok(Some(SpanKind::Unspecified));
    }
    SpanKind::from_word(word).map(Some).ok_or_else(|| {
        Refusal::invalid(format!(
            "span_kind {word:?} is none of internal, server, client, producer, consumer and \
             unspecified"
        ))
    })
}

fn raw(chunks: Chunks) -> Answers<RawMessage> {
    Box::pin(chunks.map(|chunk| match chunk {
        Ok(chunk) => Ok(RawMessage(chunk.otlp)),
        Err(refusal) => Err(refusal.into()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(ids: &[&[u8]]) -> Vec<GetTraceParams> {
        let parameters =
            |id: &&[u8]| GetTraceParams { trace_id: id.to_vec(), ..GetTraceParams::default() };
        ids.iter().map(parameters).collect()
    }

    #[test]
    fn ids_are_asked_once_and_in_order() {
        let ids = trace_ids(&asking(&[&[2; 16], &[1; 16], &[2; 16]])).unwrap();
        assert_eq!(ids, [TraceId([2; 16]), TraceId([1; 16])]);
    }

    #[test]
    fn an_id_of_another_length_is_named() {
        for id in [&[][..], &[1; 8], &[1; 17]] {
            let refusal = trace_ids(&asking(&[&[2; 16], id])).unwrap_err();
            assert_eq!(refusal.code, tonic::Code::InvalidArgument);
            assert!(refusal.message.contains("query[1].trace_id"), "{}", refusal.message);
        }
    }

    #[test]
    fn kinds_are_words() {
        assert_eq!(kind("").unwrap(), None);
        assert_eq!(kind("server").unwrap(), Some(SpanKind::Server));
        assert_eq!(kind("Unspecified").unwrap(), Some(SpanKind::Unspecified));
        assert!(kind("serving").unwrap_err().message.contains("serving"));
    }
}

//! One trace while it is being played.
//!
//! A journey calls [`Scene`]'s verbs (enter, call, query, publish); time passes with every verb,
//! spans nest as the calls do, failures travel up the way exceptions do. Out flows OTLP, grouped
//! by service. Nothing here knows what a shop sells.

use std::collections::BTreeMap;

use spanlake_proto::otlp::common::KeyValue;
use spanlake_proto::otlp::trace::span::{Event, Link, SpanKind};
use spanlake_proto::otlp::trace::status::StatusCode;
use spanlake_proto::otlp::trace::{ResourceSpans, ScopeSpans, Span, Status};

use super::ShopTrace;
use super::attributes::{flag, int, text};
use super::cast::{SCHEMA_URL, Service};
use super::rng::Rng;

const MICRO: u64 = 1_000;
/// W3C trace flags: sampled, random trace id.
const FLAGS: u32 = 0x003;

/// An exception on its way up.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) kind: &'static str,
    pub(super) message: String,
    pub(super) stack: String,
    /// Status a web client sees.
    pub(super) http_status: i64,
    /// Already an exception event on the span where it arose.
    pub(super) recorded: bool,
}

impl Fault {
    pub(super) fn new(
        kind: &'static str,
        message: impl Into<String>,
        stack: &str,
        http_status: i64,
    ) -> Self {
        Self {
            kind,
            message: message.into(),
            stack: stack.to_owned(),
            http_status,
            recorded: false,
        }
    }
}

pub(super) type Outcome = Result<(), Fault>;

/// A span that has begun.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) service: Service,
    pub(super) span: Span,
}

impl Actor {
    pub(super) fn note(&mut self, attribute: KeyValue) {
        self.span.attributes.push(attribute);
    }

    /// What a message carries so that its consumer can link back.
    pub(super) fn link(&self) -> Link {
        Link {
            trace_id: self.span.trace_id.clone(),
            span_id: self.span.span_id.clone(),
            trace_state: self.span.trace_state.clone(),
            flags: FLAGS,
            ..Default::default()
        }
    }

    fn fail(&mut self, message: &str) {
        self.span.status =
            Some(Status { message: message.to_owned(), code: StatusCode::Error as i32 });
    }
}

pub(super) struct Scene<'a> {
    pub(super) rng: &'a mut Rng,
    pub(super) now: u64,
    trace_id: [u8; 16],
    start: u64,
    instance: u64,
    done: BTreeMap<Service, Vec<Span>>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(rng: &'a mut Rng, trace_id: [u8; 16], start: u64) -> Self {
        let instance = rng.below(3);
        Self { rng, now: start, trace_id, start, instance, done: BTreeMap::new() }
    }

    /// Time passes, around so many µs.
    pub(super) fn pass(&mut self, micros: u64) {
        self.now += self.rng.around(micros);
    }

    fn actor(
        &mut self,
        service: Service,
        parent: Option<&Actor>,
        name: &str,
        kind: SpanKind,
    ) -> Actor {
        let span = Span {
            trace_id: self.trace_id.to_vec(),
            span_id: self.rng.next().max(1).to_be_bytes().to_vec(),
            parent_span_id: parent.map(|p| p.span.span_id.clone()).unwrap_or_default(),
            trace_state: "shop=demo".to_owned(),
            name: name.to_owned(),
            kind: kind as i32,
            start_time_unix_nano: self.now,
            flags: FLAGS,
            ..Default::default()
        };
        Actor { service, span }
    }

    fn leave(&mut self, mut actor: Actor) {
        actor.span.end_time_unix_nano = self.now;
        self.done.entry(actor.service).or_default().push(actor.span);
    }

    /// Marks the span as failed; the exception is recorded where it is seen first.
    fn failed(&self, actor: &mut Actor, fault: &mut Fault) {
        actor.fail(&fault.message);
        if std::mem::replace(&mut fault.recorded, true) {
            return;
        }
        actor.span.events.push(Event {
            time_unix_nano: self.now,
            name: "exception".to_owned(),
            attributes: vec![
                text("exception.type", fault.kind),
                text("exception.message", fault.message.clone()),
                text("exception.stacktrace", fault.stack.clone()),
                flag("exception.escaped", true),
            ],
            ..Default::default()
        });
    }

    /// A span without a caller: a web request, a job, a message taken from a queue.
    pub(super) fn enter(
        &mut self,
        service: Service,
        name: &str,
        kind: SpanKind,
        play: impl FnOnce(&mut Self, &mut Actor) -> Outcome,
    ) -> Outcome {
        let mut actor = self.actor(service, None, name, kind);
        let mut outcome = play(self, &mut actor);
        if let Err(fault) = &mut outcome {
            self.failed(&mut actor, fault);
        }
        self.leave(actor);
        outcome
    }

    /// Work inside a service worth a span of its own.
    pub(super) fn step(
        &mut self,
        of: &Actor,
        name: &str,
        play: impl FnOnce(&mut Self, &mut Actor) -> Outcome,
    ) -> Outcome {
        let mut actor = self.actor(of.service, Some(of), name, SpanKind::Internal);
        let mut outcome = play(self, &mut actor);
        if let Err(fault) = &mut outcome {
            self.failed(&mut actor, fault);
        }
        self.leave(actor);
        outcome
    }

    /// An RPC: a client span here, the network, a server span there. A fault is an exception on
    /// the span where it arose and a status on every span above.
    pub(super) fn call(
        &mut self,
        caller: &Actor,
        to: Service,
        method: &str,
        play: impl FnOnce(&mut Self, &mut Actor) -> Outcome,
    ) -> Outcome {
        let rpc = vec![
            text("rpc.system", "grpc"),
            text("rpc.service", to.rpc()),
            text("rpc.method", method),
        ];
        let name = format!("{}/{method}", to.rpc());
        let mut client = self.actor(caller.service, Some(caller), &name, SpanKind::Client);
        client.span.attributes.clone_from(&rpc);
        client.note(text("server.address", to.name()));
        self.pass(250);
        let mut server = self.actor(to, Some(&client), &name, SpanKind::Server);
        server.span.attributes = rpc;
        self.pass(100);
        let mut outcome = play(self, &mut server);
        if let Err(fault) = &mut outcome {
            self.failed(&mut server, fault);
            client.fail(&fault.message);
        }
        let code = i64::from(outcome.is_err()) * 13;
        server.note(int("rpc.grpc.status_code", code));
        client.note(int("rpc.grpc.status_code", code));
        self.leave(server);
        self.pass(200);
        self.leave(client);
        outcome
    }

    /// A statement, seen from the client: databases send no spans.
    pub(super) fn query(
        &mut self,
        caller: &Actor,
        system: &str,
        operation: &str,
        statement: &str,
        micros: u64,
    ) {
        let mut client = self.actor(caller.service, Some(caller), operation, SpanKind::Client);
        client.note(text("db.system.name", system));
        client.note(text("db.operation.name", operation.split(' ').next().unwrap_or(operation)));
        client.note(text("db.query.text", statement));
        client.note(text("server.address", format!("{system}.shop.internal")));
        self.pass(micros);
        client.note(int("db.response.returned_rows", self.rng.below(50) as i64));
        self.leave(client);
    }

    /// A request to somebody else's server, which sends us no spans.
    pub(super) fn external(
        &mut self,
        caller: &Actor,
        name: &str,
        attributes: Vec<KeyValue>,
        play: impl FnOnce(&mut Self, &mut Actor) -> Outcome,
    ) -> Outcome {
        let mut client = self.actor(caller.service, Some(caller), name, SpanKind::Client);
        client.span.attributes = attributes;
        let mut outcome = play(self, &mut client);
        if let Err(fault) = &mut outcome {
            self.failed(&mut client, fault);
        }
        self.leave(client);
        outcome
    }

    /// A message handed to a queue; the link is what its consumer will carry.
    pub(super) fn publish(&mut self, caller: &Actor, topic: &str, size: i64) -> Link {
        let name = format!("publish {topic}");
        let mut producer = self.actor(caller.service, Some(caller), &name, SpanKind::Producer);
        producer.note(text("messaging.system", "kafka"));
        producer.note(text("messaging.destination.name", topic));
        producer.note(int("messaging.message.body.size", size));
        self.pass(900);
        producer.note(text("messaging.destination.partition.id", self.rng.below(12).to_string()));
        let mut link = producer.link();
        link.attributes = vec![text("messaging.destination.name", topic)];
        self.leave(producer);
        link
    }

    /// Two things at once: both begin now, time goes on when the slower one is done.
    pub(super) fn both(
        &mut self,
        first: impl FnOnce(&mut Self) -> Outcome,
        second: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome {
        let start = self.now;
        let one = first(self);
        let slow = std::mem::replace(&mut self.now, start);
        let two = second(self);
        self.now = self.now.max(slow);
        one.and(two)
    }

    /// An event that is no exception.
    pub(super) fn event(&self, actor: &mut Actor, name: &str, attributes: Vec<KeyValue>) {
        actor.span.events.push(Event {
            time_unix_nano: self.now,
            name: name.to_owned(),
            attributes,
            ..Default::default()
        });
    }

    /// The curtain falls.
    pub(super) fn finish(self) -> ShopTrace {
        let spans = self.done.values().map(Vec::len).sum();
        let errors = self.done.values().flatten().filter(|s| is_error(s)).count();
        let instance = self.instance;
        let of_service = |(service, spans): (Service, Vec<Span>)| ResourceSpans {
            resource: Some(service.resource(instance)),
            scope_spans: vec![ScopeSpans {
                scope: Some(service.scope()),
                spans,
                schema_url: SCHEMA_URL.to_owned(),
            }],
            schema_url: SCHEMA_URL.to_owned(),
        };
        ShopTrace {
            trace_id: self.trace_id,
            start_unix_nano: self.start,
            end_unix_nano: self.now.max(self.start + MICRO),
            spans,
            errors,
            resource_spans: self.done.into_iter().map(of_service).collect(),
        }
    }
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|s| s.code == StatusCode::Error as i32)
}

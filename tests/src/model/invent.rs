//! Random spans and questions out of a small universe, so that ids, names, values and times
//! collide all the time: ties, torn traces, shared span ids, equal texts of different types.
//! Dice flow in; trees and queries flow out. The same seed invents the same case.

use spanlake::{AttributeEquals, SpanKind, TraceId, TraceQuery};

use super::dice::Dice;
use super::spans::{Model, Placed};
use super::text::as_string;
use super::wire::{Item, Node};

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * SECOND;
/// 2026-02-14 00:00 UTC.
const DAY: u64 = 1_771_027_200 * SECOND;

/// Where the spans of one case come from.
#[derive(Debug, Clone)]
pub struct Universe {
    trace_ids: Vec<[u8; 16]>,
    span_ids: Vec<[u8; 8]>,
    services: Vec<Node>,
    names: Vec<Vec<u8>>,
    keys: Vec<Vec<u8>>,
    values: Vec<Node>,
    starts: Vec<u64>,
    durations: Vec<u64>,
    /// Whether invalid UTF-8, unknown fields, odd enums and spans to refuse occur.
    wild: bool,
}

fn value(field: u32, item: Item) -> Node {
    let mut node = Node::default();
    node.fields.insert(field, vec![item]);
    node
}

fn text(bytes: &[u8]) -> Node {
    value(1, Item::Bytes(bytes.to_vec()))
}

fn number(field: u32, n: u64) -> Node {
    value(field, Item::Number(n))
}

fn double(x: f64) -> Node {
    number(4, x.to_bits())
}

/// A `KeyValue`.
pub fn pair(key: &[u8], value: Node) -> Node {
    let node = Node::default().with_node(2, value);
    if key.is_empty() { node } else { node.with_bytes(1, key) }
}

fn values(wild: bool) -> Vec<Node> {
    let list = |v: Vec<Node>| value(5, Item::Node(Node::default().with_nodes(1, v)));
    let map = |v: Vec<Node>| value(6, Item::Node(Node::default().with_nodes(1, v)));
    let mut all = vec![
        text(b"1"),
        text(b""),
        text(b"true"),
        text(b"GET"),
        text(b"a<b&c>"),
        text("ä\u{2028}".as_bytes()),
        text(b"[1,\"x\"]"),
        number(3, 1),
        number(3, 0),
        number(3, -1i64 as u64),
        number(3, 500),
        number(2, 1),
        number(2, 0),
        double(1.0),
        double(-0.0),
        double(1e21),
        double(1.5e-7),
        double(f64::NAN),
        number(4, 0x7ff8_0000_0000_0001),
        double(f64::INFINITY),
        value(7, Item::Bytes(vec![])),
        value(7, Item::Bytes(vec![0, 255, 16])),
        Node::default(),
        list(vec![number(3, 1), text(b"x")]),
        list(vec![]),
        list(vec![double(f64::NAN)]),
        list(vec![list(vec![map(vec![])]), value(7, Item::Bytes(vec![]))]),
        map(vec![pair(b"z", text(b"<&>")), pair(b"a", number(3, 7)), pair(b"z", Node::default())]),
    ];
    if wild {
        all.extend([
            text(b"\xff\xfe"),
            list(vec![text(b"a\xc3"), Node::default().with_unknown([0xf8, 0x07, 0x01])]),
            map(vec![pair(b"\xff", text(b"\x80")), pair(b"\xfe", text(b"\xed\xa0\x80"))]),
            number(8, 3),
        ]);
    }
    all
}

/// Raw unknown fields: every wire type, a group included.
const UNKNOWN: &[&[u8]] = &[
    &[0xf8, 0x07, 0x01],
    &[0xf9, 0x07, 1, 2, 3, 4, 5, 6, 7, 8],
    &[0xfa, 0x07, 0x03, 0xff, 0x00, 0x7f],
    &[0xfd, 0x07, 9, 8, 7, 6],
    &[0xfb, 0x07, 0x08, 0x01, 0xfc, 0x07],
    &[0xfa, 0x07, 0x00, 0xf8, 0x07, 0x80, 0x00],
];

impl Universe {
    /// Spans that any decoder takes.
    pub fn plain(dice: &mut Dice) -> Self {
        Self::new(dice, false)
    }

    /// Spans with invalid UTF-8, unknown fields, odd numbers, and some that a store refuses.
    pub fn wild(dice: &mut Dice) -> Self {
        Self::new(dice, true)
    }

    fn new(dice: &mut Dice, wild: bool) -> Self {
        let trace_ids = (0..dice.between(1, 7)).map(|i| trace_id(i, dice)).collect();
        let span_ids = (1..=dice.between(2, 12)).map(|i| [0, 0, 0, 0, 0, 0, 0, i as u8]).collect();
        let mut services = vec![
            text(b"shop"),
            text(b"cart"),
            text(b""),
            text("zahlung-ä".as_bytes()),
            number(3, 4),
        ];
        let mut names: Vec<Vec<u8>> =
            [&b"GET /"[..], b"", b"pay", "käufe".as_bytes()].iter().map(|n| n.to_vec()).collect();
        let mut keys: Vec<Vec<u8>> = [
            &b"http.status_code"[..],
            b"k",
            b"",
            b"error",
            b"span.kind",
            b"scope.name",
            b"resource.k",
        ]
        .iter()
        .map(|k| k.to_vec())
        .collect();
        if wild {
            services.push(text(b"bad\xff"));
            names.push(b"\xc3\x28".to_vec());
            keys.push(b"\xf0\x9f".to_vec());
        }
        Self {
            trace_ids,
            span_ids,
            services,
            names,
            keys,
            values: values(wild),
            starts: starts(dice),
            durations: vec![0, 1, 1000, 1001, SECOND, 7 * HOUR],
            wild,
        }
    }

    /// One `ExportTraceServiceRequest`.
    pub fn batch(&mut self, dice: &mut Dice) -> Node {
        let mut resources = Vec::new();
        for _ in 0..dice.between(0, 3) {
            let mut scopes = Vec::new();
            for _ in 0..dice.between(0, 3) {
                let mut spans: Vec<Node> =
                    (0..dice.between(0, 4)).map(|_| self.span(dice)).collect();
                // Real copies inside one Export.
                if !spans.is_empty() && dice.percent(20) {
                    let copy = dice.pick(&spans).clone();
                    spans.insert(dice.between(0, spans.len()), copy);
                }
                scopes.push(self.scope(dice).with_nodes(2, spans));
            }
            if !scopes.is_empty() && dice.percent(10) {
                scopes.push(dice.pick(&scopes).clone());
            }
            resources.push(self.resource(dice).with_nodes(2, scopes));
        }
        if !resources.is_empty() && dice.percent(10) {
            resources.push(dice.pick(&resources).clone());
        }
        Node::default().with_nodes(1, resources).tidy(&super::wire::TRACES)
    }

    fn resource(&self, dice: &mut Dice) -> Node {
        let mut node = Node::default();
        if dice.percent(10) {
            return self.odd(node, dice);
        }
        let mut attributes = self.attributes(dice, 2);
        if dice.percent(90) {
            let at = dice.between(0, attributes.len());
            attributes.insert(at, pair(b"service.name", dice.pick(&self.services).clone()));
        }
        let mut resource = Node::default().with_nodes(1, attributes);
        if dice.percent(10) {
            resource = resource.with_number(2, 3);
        }
        if dice.percent(10) {
            let mut entity = Node::default().with_bytes(1, "https://e").with_bytes(2, "host");
            let keys = vec![Item::Bytes(b"host.id".to_vec()), Item::Bytes(vec![])];
            entity.fields.insert(3, keys);
            resource = resource.with_nodes(3, [entity]);
        }
        node = node.with_node(1, self.odd(resource, dice));
        if dice.percent(30) {
            node = node.with_bytes(3, *dice.pick(&["https://r/1", "https://r/2"]));
        }
        self.odd(node, dice)
    }

    fn scope(&self, dice: &mut Dice) -> Node {
        let mut node = Node::default();
        if dice.percent(70) {
            let mut scope = Node::default().with_nodes(3, self.attributes(dice, 1));
            if dice.percent(70) {
                scope = scope.with_bytes(1, *dice.pick(&["lib", "io.x"])).with_bytes(2, "1.0");
            }
            if dice.percent(10) {
                scope = scope.with_number(4, 9);
            }
            node = node.with_node(1, self.odd(scope, dice));
        }
        if dice.percent(30) {
            node = node.with_bytes(3, *dice.pick(&["https://s/1", "https://s/2"]));
        }
        self.odd(node, dice)
    }

    /// One span, now and then one to refuse.
    pub fn span(&self, dice: &mut Dice) -> Node {
        let start = *dice.pick(&self.starts);
        let end = match dice.below(10) {
            0 => start.saturating_sub(5),
            1 => u64::MAX,
            2 => 0,
            _ => start.saturating_add(*dice.pick(&self.durations)),
        };
        let mut span = Node::default()
            .with_bytes(1, *dice.pick(&self.trace_ids))
            .with_bytes(2, *dice.pick(&self.span_ids))
            .with_bytes(5, dice.pick(&self.names).clone())
            .with_number(6, dice.below(6) as u64)
            .with_number(7, start)
            .with_number(8, end)
            .with_nodes(9, self.attributes(dice, 3));
        span = match dice.below(10) {
            0..3 => span,
            3 => span.with_bytes(4, [0; 8]),
            _ => span.with_bytes(4, *dice.pick(&self.span_ids)),
        };
        for field in [10, 12, 14] {
            if dice.percent(10) {
                span = span.with_number(field, 1 + dice.below(3) as u64);
            }
        }
        if dice.percent(10) {
            span = span.with_bytes(3, "a=b,c=d").with_number(16, 0x101);
        }
        if dice.percent(60) {
            let mut status = Node::default().with_number(3, dice.below(3) as u64);
            if dice.percent(20) {
                status = status.with_bytes(2, "it broke");
            }
            span = span.with_node(15, self.odd(status, dice));
        }
        let events: Vec<Node> = (0..few(dice)).map(|_| self.event(dice, start)).collect();
        let links: Vec<Node> = (0..few(dice)).map(|_| self.link(dice)).collect();
        span = self.odd(span.with_nodes(11, events).with_nodes(13, links), dice);
        if self.wild && dice.percent(4) { self.spoil(span, dice) } else { span }
    }

    fn event(&self, dice: &mut Dice, start: u64) -> Node {
        let mut event = Node::default().with_nodes(3, self.attributes(dice, 2));
        if dice.percent(70) {
            event = event.with_number(1, start.wrapping_add(3)).with_bytes(2, "exception");
        }
        if dice.percent(10) {
            event = event.with_number(4, 2);
        }
        self.odd(event, dice)
    }

    fn link(&self, dice: &mut Dice) -> Node {
        let mut link = Node::default().with_nodes(4, self.attributes(dice, 2));
        if dice.percent(70) {
            link = link
                .with_bytes(1, *dice.pick(&self.trace_ids))
                .with_bytes(2, *dice.pick(&self.span_ids));
        }
        if dice.percent(10) {
            link = link.with_bytes(3, "x=y").with_number(5, 1).with_number(6, 0x300);
        }
        self.odd(link, dice)
    }

    /// Up to `most` attributes; keys repeat, a value may be missing.
    fn attributes(&self, dice: &mut Dice, most: usize) -> Vec<Node> {
        (0..dice.between(0, most))
            .map(|_| {
                let key: &Vec<u8> = dice.pick(&self.keys);
                let attribute = pair(key, dice.pick(&self.values).clone());
                if dice.percent(3) {
                    return Node::default().with_bytes(1, "novalue");
                }
                self.odd(attribute, dice)
            })
            .collect()
    }

    /// The message with unknown fields now and then.
    fn odd(&self, node: Node, dice: &mut Dice) -> Node {
        if self.wild && dice.percent(3) { node.with_unknown(*dice.pick(UNKNOWN)) } else { node }
    }

    /// A span that a store refuses, or one with numbers OTLP does not define.
    fn spoil(&self, span: Node, dice: &mut Dice) -> Node {
        match dice.below(9) {
            0 => span.with_bytes(1, [1; 15]),
            1 => span.with_bytes(1, [0; 16]),
            2 => span.with_bytes(2, [1; 9]),
            3 => span.with_bytes(2, [0; 8]),
            4 => span.with_bytes(4, [1; 4]),
            5 => span.with_nodes(13, [Node::default().with_bytes(1, [1; 8])]),
            6 => span.with_nodes(13, [Node::default().with_bytes(2, [1; 16])]),
            7 => span.with_number(6, u64::from(-3i32 as u32)),
            _ => span.with_number(6, 77).with_node(15, Node::default().with_number(3, 12)),
        }
    }

    /// A question, often about a span that is there.
    pub fn query(&self, model: &Model, dice: &mut Dice) -> TraceQuery {
        let mut query = TraceQuery { limit: self.limit(dice), ..TraceQuery::default() };
        let spans: Vec<&Placed> = model.spans().collect();
        let known = (!spans.is_empty() && dice.percent(75)).then(|| *dice.pick(&spans));
        if dice.percent(30) {
            query.service = Some(match known {
                Some(span) => span.service(),
                None => as_string(Some(dice.pick(&self.services))),
            });
        }
        if dice.percent(25) {
            query.operation = Some(match known {
                Some(span) => span.name(),
                None => lossy(dice.pick(&self.names)),
            });
        }
        for _ in 0..few(dice) {
            query.attributes.push(self.condition(known, dice));
        }
        self.bounds(&mut query, known, dice);
        query
    }

    fn limit(&self, dice: &mut Dice) -> usize {
        *dice.pick(&[1, 1, 2, 2, 3, 4, 5, 100])
    }

    fn condition(&self, known: Option<&Placed>, dice: &mut Dice) -> AttributeEquals {
        let equals = |key: &str, value: String| AttributeEquals { key: key.to_owned(), value };
        match dice.below(10) {
            0 => {
                equals("error", (*dice.pick(&["true", "false", "1", "F", "maybe", ""])).to_owned())
            }
            1 => equals(
                "span.kind",
                (*dice.pick(&["server", "CLIENT", "Internal", "", "x"])).to_owned(),
            ),
            2 => equals("span.status", (*dice.pick(&["ok", "ERROR", "unset", ""])).to_owned()),
            3 => equals("scope.name", (*dice.pick(&["lib", "io.x", "", "LIB"])).to_owned()),
            4 => equals("scope.version", (*dice.pick(&["1.0", "", "2"])).to_owned()),
            roll => {
                let attributes: Vec<&Node> = known.map_or(Vec::new(), attributes_of);
                let (mut key, value) = if attributes.is_empty() || dice.percent(20) {
                    let key = lossy(dice.pick(&self.keys));
                    (key, as_string(Some(dice.pick(&self.values))))
                } else {
                    let attribute = dice.pick(&attributes);
                    (attribute.text(1), as_string(attribute.node(2)))
                };
                if roll == 5 {
                    key = format!("resource.{key}");
                }
                equals(&key, value)
            }
        }
    }

    fn bounds(&self, query: &mut TraceQuery, known: Option<&Placed>, dice: &mut Dice) {
        let around = |n: u64, dice: &mut Dice| match dice.below(4) {
            0 => n.saturating_sub(1),
            1 => n.saturating_add(1),
            _ => n,
        };
        let moment = |dice: &mut Dice| known.map_or(*dice.pick(&self.starts), Placed::start);
        let length = |dice: &mut Dice| known.map_or(*dice.pick(&self.durations), Placed::duration);
        if dice.percent(30) {
            query.start_min = Some(around(moment(dice), dice));
        }
        if dice.percent(30) {
            query.start_max = Some(around(moment(dice), dice));
        }
        if dice.percent(20) {
            query.duration_min = Some(around(length(dice), dice));
        }
        if dice.percent(20) {
            query.duration_max = Some(around(length(dice), dice));
        }
    }

    /// Every trace id of this universe, and one that is in none.
    pub fn trace_ids(&self) -> Vec<TraceId> {
        self.trace_ids.iter().copied().chain([[0xee; 16]]).map(TraceId).collect()
    }

    /// Services to ask operations of.
    pub fn service_names(&self) -> Vec<String> {
        self.services.iter().map(|s| s.text(1)).filter(|s| !s.is_empty()).collect()
    }

    /// A kind or all kinds.
    pub fn kind(&self, dice: &mut Dice) -> Option<SpanKind> {
        dice.percent(50).then(|| SpanKind::from_number(dice.below(7) as i32))
    }

    /// A moment of this universe.
    pub fn moment(&self, dice: &mut Dice) -> u64 {
        *dice.pick(&self.starts)
    }
}

fn attributes_of(span: &Placed) -> Vec<&Node> {
    span.span
        .nodes(9)
        .chain(span.resource_attributes())
        .chain(span.scope.node(1).into_iter().flat_map(|s| s.nodes(3)))
        .chain(span.span.nodes(11).flat_map(|e| e.nodes(3)))
        .chain(span.span.nodes(13).flat_map(|l| l.nodes(4)))
        .collect()
}

#[expect(clippy::ptr_arg, reason = "as the dice pick it")]
fn lossy(bytes: &Vec<u8>) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn few(dice: &mut Dice) -> usize {
    *dice.pick(&[0, 0, 0, 1, 1, 2])
}

/// Ids that share beginnings or endings, so that no prefix or suffix tells them apart.
fn trace_id(at: usize, dice: &mut Dice) -> [u8; 16] {
    let mut id = [0; 16];
    match dice.below(3) {
        0 => id[0] = at as u8 + 1,
        1 => id[15] = at as u8 + 1,
        _ => {
            id[..8].copy_from_slice(&dice.roll().to_be_bytes());
            id[8..].copy_from_slice(&dice.roll().to_be_bytes());
        }
    }
    id
}

/// A handful of moments: a day in February 2026 with the borders of its windows, and absurd ones.
fn starts(dice: &mut Dice) -> Vec<u64> {
    let mut starts = Vec::new();
    for _ in 0..dice.between(2, 8) {
        let base = DAY + dice.below(9) as u64 * 6 * HOUR;
        starts.push(match dice.below(12) {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => i64::MAX as u64,
            4 => i64::MAX as u64 + 1,
            5 => base,
            6 => base - 1,
            7 => base + 1,
            _ => base + dice.below(6 * 3600) as u64 * SECOND,
        });
    }
    starts
}

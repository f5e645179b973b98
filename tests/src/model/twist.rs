//! The same message, encoded as no sane encoder would: fields in another order, overlong varints,
//! defaults written out, values written twice (the last wins), singular messages in two halves.
//! A tree flows in, bytes that decode to an equal tree flow out. Orders that carry meaning (among
//! the values of one field, among unknown fields) stay.

use super::dice::Dice;
use super::wire::{Field, Item, Kind, Node, Rule, Schema, put_field, put_varint};

/// Encodes `node` in some non-canonical way.
pub fn twist(node: &Node, schema: &'static Schema, dice: &mut Dice) -> Vec<u8> {
    twist_part(node, schema, dice, true)
}

/// `whole` is false for one half of a message, where an absent field may stand in the other.
fn twist_part(node: &Node, schema: &'static Schema, dice: &mut Dice, whole: bool) -> Vec<u8> {
    let mut parts: Vec<Vec<Vec<u8>>> = Vec::new();
    for (number, items) in &node.fields {
        let field = schema.field(*number).expect("a field of the schema");
        parts.push(items.iter().flat_map(|item| twist_item(field, item, dice)).collect());
    }
    for field in schema.fields {
        let absent = !node.fields.contains_key(&field.number);
        if whole && absent && field.rule == Rule::One && dice.percent(10) {
            parts.extend(explicit_default(field).map(|bytes| vec![bytes]));
        }
    }
    if !node.unknown.is_empty() {
        parts.push(vec![node.unknown.clone()]);
    }
    weave(parts, dice)
}

/// Interleaves the lists at random, each keeping its own order.
fn weave(parts: Vec<Vec<Vec<u8>>>, dice: &mut Dice) -> Vec<u8> {
    let mut queues: Vec<_> = parts.into_iter().map(|p| p.into_iter()).collect();
    let mut out = Vec::new();
    while !queues.is_empty() {
        let at = dice.below(queues.len());
        match queues[at].next() {
            Some(bytes) => out.extend(bytes),
            None => drop(queues.swap_remove(at)),
        }
    }
    out
}

fn twist_item(field: &'static Field, item: &Item, dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    // An earlier value of a singular scalar is overwritten by the one that follows.
    if field.rule == Rule::One && dice.percent(5) {
        out.extend(decoy(field));
    }
    match (field.kind, item) {
        (Kind::Message(inner), Item::Node(node)) if field.rule == Rule::One && dice.percent(10) => {
            // Two halves of a singular message merge.
            let (head, tail) = halve(node, dice);
            for half in [head, tail] {
                let bytes = twist_part(&half, inner, dice, false);
                out.push(delimited(field, &bytes, dice));
            }
        }
        (Kind::Message(inner), Item::Node(node)) => {
            let bytes = twist(node, inner, dice);
            out.push(delimited(field, &bytes, dice));
        }
        (Kind::Bytes, Item::Bytes(bytes)) => out.push(delimited(field, bytes, dice)),
        (Kind::Int32 | Kind::Uint32 | Kind::Int64 | Kind::Bool, Item::Number(n)) => {
            let n = match field.kind {
                Kind::Int32 => i64::from(*n as u32 as i32) as u64,
                Kind::Bool if *n == 1 && dice.percent(20) => 2,
                _ => *n,
            };
            let mut bytes = Vec::new();
            overlong(&mut bytes, u64::from(field.number) << 3, dice);
            overlong(&mut bytes, n, dice);
            out.push(bytes);
        }
        _ => {
            let mut bytes = Vec::new();
            put_field(&mut bytes, field, item, &mut |_, _| unreachable!("messages are above"));
            out.push(bytes);
        }
    }
    out
}

fn halve(node: &Node, dice: &mut Dice) -> (Node, Node) {
    let mut head = Node::default();
    let mut tail = Node::default();
    for (number, items) in &node.fields {
        let cut = if items.len() > 1 { dice.between(0, items.len()) } else { dice.below(2) };
        for (side, items) in [(&mut head, &items[..cut]), (&mut tail, &items[cut..])] {
            if !items.is_empty() {
                side.fields.insert(*number, items.to_vec());
            }
        }
    }
    tail.unknown.clone_from(&node.unknown);
    (head, tail)
}

fn delimited(field: &Field, content: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = Vec::new();
    overlong(&mut bytes, u64::from(field.number) << 3 | 2, dice);
    overlong(&mut bytes, content.len() as u64, dice);
    bytes.extend_from_slice(content);
    bytes
}

/// A varint with needless zero groups at times.
fn overlong(out: &mut Vec<u8>, n: u64, dice: &mut Dice) {
    let start = out.len();
    put_varint(out, n);
    // Tags hold 32 bits and some readers refuse more than five bytes, so stay well below.
    let spare = 4usize.saturating_sub(out.len() - start);
    if spare > 0 && dice.percent(10) {
        let extra = dice.between(1, spare);
        *out.last_mut().expect("a varint has a byte") |= 0x80;
        out.extend(std::iter::repeat_n(0x80, extra - 1));
        out.push(0);
    }
}

fn explicit_default(field: &'static Field) -> Option<Vec<u8>> {
    let item = match field.kind {
        // Presence of a message is information.
        Kind::Message(_) => return None,
        Kind::Bytes => Item::Bytes(Vec::new()),
        _ => Item::Number(0),
    };
    let mut bytes = Vec::new();
    put_field(&mut bytes, field, &item, &mut |_, _| Vec::new());
    Some(bytes)
}

fn decoy(field: &'static Field) -> Option<Vec<u8>> {
    let item = match field.kind {
        Kind::Message(_) => return None,
        Kind::Bytes => Item::Bytes(b"overwritten!".to_vec()),
        Kind::Bool => Item::Number(1),
        _ => Item::Number(77),
    };
    let mut bytes = Vec::new();
    put_field(&mut bytes, field, &item, &mut |_, _| Vec::new());
    Some(bytes)
}

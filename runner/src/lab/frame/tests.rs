//! What the decoder must make of clean, noisy, cut and flipped streams.

use super::*;
use proptest::prelude::*;

fn frame(seq: u32, payload: &[u8]) -> Frame {
    Frame { kind: 3, seq, ticks: u64::from(seq) * 7, payload: payload.to_vec() }
}

/// Decodes a whole stream, cut into pieces of `step` bytes.
fn decode(stream: &[u8], step: usize) -> Vec<Event> {
    let mut decoder = Decoder::new();
    let mut events: Vec<Event> =
        stream.chunks(step.max(1)).flat_map(|piece| decoder.push(piece)).collect();
    events.extend(decoder.finish());
    events
}

fn frames(events: &[Event]) -> Vec<Frame> {
    events
        .iter()
        .filter_map(
            |event| if let Event::Frame(frame) = event { Some(frame.clone()) } else { None },
        )
        .collect()
}

fn noise(events: &[Event]) -> Vec<u8> {
    events
        .iter()
        .filter_map(
            |event| if let Event::Noise(bytes) = event { Some(bytes.clone()) } else { None },
        )
        .flatten()
        .collect()
}

fn complaints(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Damaged(_) | Event::Missing { .. })).count()
}

#[test]
fn a_lost_frame_is_reported() {
    let stream = [frame(0, b"a").encode(), frame(2, b"c").encode()].concat();
    let want = vec![
        Event::Frame(frame(0, b"a")),
        Event::Missing { from: 1, until: 2 },
        Event::Frame(frame(2, b"c")),
    ];
    assert_eq!(decode(&stream, 1000), want);
}

#[test]
fn a_lost_first_frame_is_reported() {
    assert_eq!(decode(&frame(1, b"").encode(), 3)[0], Event::Missing { from: 0, until: 1 });
}

#[test]
fn a_repeated_frame_is_not_taken_twice() {
    let stream = [frame(0, b"a").encode(), frame(0, b"a").encode()].concat();
    let events = decode(&stream, 1000);
    assert_eq!((frames(&events).len(), complaints(&events)), (1, 1));
}

#[test]
fn a_huge_length_does_not_swallow_what_follows() {
    let mut bad = frame(0, b"a").encode();
    bad[20] = 0xff;
    let events = decode(&[bad, frame(1, b"b").encode()].concat(), 1000);
    assert_eq!(frames(&events), [frame(1, b"b")]);
    assert_eq!(complaints(&events), 2);
}

#[test]
fn text_inside_a_frame_damages_that_frame_only() {
    let mut bad = frame(0, b"abcdefgh").encode();
    bad.splice(25..25, *b"\nBochs says something\n");
    let events = decode(&[bad, frame(1, b"b").encode()].concat(), 1000);
    assert_eq!(frames(&events), [frame(1, b"b")]);
    assert!(complaints(&events) >= 1);
}

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..8)
}

proptest! {
    #[test]
    fn noise_between_frames_loses_nothing(payloads in payloads(), text in "[ -~\n]{0,30}", step in 1_usize..60) {
        let sent: Vec<Frame> = payloads.iter().zip(0..).map(|(payload, seq)| frame(seq, payload)).collect();
        let mut stream = Vec::new();
        for frame in &sent {
            stream.extend_from_slice(text.as_bytes());
            stream.extend(frame.encode());
        }
        let events = decode(&stream, step);
        prop_assert_eq!(frames(&events), sent.clone());
        prop_assert_eq!(noise(&events), text.as_bytes().repeat(sent.len()));
        prop_assert_eq!(complaints(&events), 0);
    }

    #[test]
    fn one_flipped_bit_costs_one_frame_and_is_noticed(payloads in payloads(), at in any::<prop::sample::Index>(), bit in 0_u8..8, step in 1_usize..60) {
        let mut sent: Vec<Frame> = payloads.iter().zip(0..).map(|(payload, seq)| frame(seq, payload)).collect();
        // A last frame that arrives shows that one before it did not.
        let last = frame(sent.len() as u32, b"last");
        let mut stream: Vec<u8> = sent.iter().flat_map(Frame::encode).collect();
        let at = at.index(stream.len());
        stream[at] ^= 1 << bit;
        stream.extend(last.encode());
        let mut end = 0;
        let hit = sent.iter().position(|frame| { end += frame.encode().len(); at < end }).unwrap();
        sent.remove(hit);
        sent.push(last);
        let events = decode(&stream, step);
        prop_assert_eq!(frames(&events), sent);
        prop_assert!(complaints(&events) >= 1);
    }

    #[test]
    fn a_cut_stream_yields_the_whole_frames_before_the_cut(payloads in payloads(), at in any::<prop::sample::Index>(), step in 1_usize..60) {
        let sent: Vec<Frame> = payloads.iter().zip(0..).map(|(payload, seq)| frame(seq, payload)).collect();
        let stream: Vec<u8> = sent.iter().flat_map(Frame::encode).collect();
        let cut = at.index(stream.len());
        let (mut end, mut whole) = (0, 0);
        for frame in &sent {
            end += frame.encode().len();
            whole += usize::from(end <= cut);
        }
        prop_assert_eq!(frames(&decode(&stream[..cut], step)), &sent[..whole]);
    }

    #[test]
    fn anything_at_all_is_taken_without_a_panic(stream in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xf5), Just(b'M'), Just(0xfa)], 0..300), step in 1_usize..60) {
        decode(&stream, step);
    }
}

use super::*;

const ROOM: usize = 40;

fn bytes() -> [u8; ROOM] {
    core::array::from_fn(|at| at as u8 + 1)
}

#[test]
fn ranges_are_copied_as_slices_are_whichever_way_they_overlap() {
    for (from, to) in (0..16).flat_map(|from| (0..16).map(move |to| (from, to))) {
        for count in 0..24 {
            let (mut got, mut want) = (bytes(), bytes());
            want.copy_within(from..from + count, to);
            let start = got.as_mut_ptr();
            // SAFETY: both ranges end before 16 + 24 bytes, the size of the array.
            let end = unsafe { memmove(start.add(to), start.add(from), count) };
            assert_eq!(
                (got, end as usize - got.as_ptr() as usize),
                (want, to),
                "{from}..+{count} to {to}"
            );
        }
    }
    for count in 0..ROOM {
        let (mut got, mut want) = ([0; ROOM], [0; ROOM]);
        want[..count].copy_from_slice(&bytes()[..count]);
        // SAFETY: both arrays have more bytes.
        unsafe { memcpy(got.as_mut_ptr(), bytes().as_ptr(), count) };
        assert_eq!(got, want);
        want[..count].fill(0xa5);
        // SAFETY: the array has more bytes. The upper bytes of the value do not count.
        unsafe { memset(got.as_mut_ptr(), 0x12a5, count) };
        assert_eq!(got, want);
    }
}

#[test]
fn the_first_byte_that_differs_decides() {
    let compare = |one: &[u8], other: &[u8]| {
        // SAFETY: both slices have as many bytes.
        let (order, differ) = unsafe {
            (
                memcmp(one.as_ptr(), other.as_ptr(), one.len()),
                bcmp(one.as_ptr(), other.as_ptr(), one.len()),
            )
        };
        assert_eq!(order != 0, differ != 0);
        order.signum()
    };
    assert_eq!(compare(b"", b""), 0);
    assert_eq!(compare(b"same", b"same"), 0);
    assert_eq!(
        (compare(b"ab\x80a", b"ab\x01b"), compare(b"ab\x01b", b"ab\x80a")),
        (1, -1),
        "bytes have no sign"
    );
    assert_eq!((compare(b"abc", b"abd"), compare(b"abd", b"abc")), (-1, 1), "the last one counts");
    for text in [c"", c"a", c"a text"] {
        // SAFETY: the text ends in 0.
        assert_eq!(unsafe { strlen(text.as_ptr().cast()) }, text.count_bytes());
    }
}

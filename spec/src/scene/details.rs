//! The details of the scenes as the image has them: those that many rows have take one byte, others
//! two. See [`super::table`].

use super::parts::{PartOfScene, first_of, fits};
use super::table::{COUNT, DETAIL, DETAILS, DETAILS_LEN};

/// The first byte of a rare detail is less than this, and its second byte follows. Others are the
/// number of a common detail, and this.
const RARE: usize = DETAIL.div_ceil(1 << 8);
const COMMONS: usize = (1 << 8) - RARE;

struct Coded {
    common: [u16; COMMONS],
    commons: usize,
    bytes: [u8; 2 * DETAILS_LEN],
    len: usize,
    of: PartOfScene,
}

const CODED: &Coded = &{
    // How many rows have each detail, and how many details so many rows have.
    let (mut rows, mut details) = ([0_u16; RARE << 8], [0; COUNT + 1]);
    let mut at = 0;
    while at < DETAILS_LEN {
        rows[DETAILS.0[at] as usize] += 1;
        at += 1;
    }
    at = 0;
    while at < rows.len() {
        details[rows[at] as usize] += 1;
        at += 1;
    }
    // As many rows make a detail a common one.
    let (mut many, mut room) = (COUNT, COMMONS);
    while details[many] <= room {
        room -= details[many];
        many -= 1;
    }
    let mut coded = Coded {
        common: [0; COMMONS],
        commons: 0,
        bytes: [0; 2 * DETAILS_LEN],
        len: 0,
        of: PartOfScene::EMPTY,
    };
    // From here on, the number of each common detail, and `COMMONS` for a rare one.
    at = 0;
    while at < rows.len() {
        let is_common = rows[at] as usize > many;
        rows[at] = COMMONS as u16;
        if is_common {
            rows[at] = fits(coded.commons);
            coded.common[coded.commons] = fits(at);
            coded.commons += 1;
        }
        at += 1;
    }
    let (mut row, mut at) = (0, 0);
    while row < COUNT {
        let begin = coded.len;
        while at < DETAILS.1[row + 1] as usize {
            let (detail, common) = (DETAILS.0[at], rows[DETAILS.0[at] as usize] as usize);
            if common == COMMONS {
                coded.bytes[coded.len] = (detail >> 8) as u8;
                coded.bytes[coded.len + 1] = detail as u8;
                coded.len += 2;
            } else {
                coded.bytes[coded.len] = (RARE + common) as u8;
                coded.len += 1;
            }
            at += 1;
        }
        coded.of.set(row, begin, coded.len);
        row += 1;
    }
    coded
};

static COMMON: [u16; CODED.commons] = first_of(&CODED.common);
static DETAIL_BYTES: [u8; CODED.len] = first_of(&CODED.bytes);
static DETAILS_OF: PartOfScene = CODED.of;

/// The details of a scene.
pub fn of(scene: usize) -> impl Iterator<Item = u16> {
    let mut bytes = DETAIL_BYTES[DETAILS_OF.of(scene)].iter();
    core::iter::from_fn(move || {
        let byte = *bytes.next()?;
        Some(match usize::from(byte).checked_sub(RARE) {
            Some(common) => COMMON[common],
            None => u16::from_be_bytes([byte, *bytes.next()?]),
        })
    })
}

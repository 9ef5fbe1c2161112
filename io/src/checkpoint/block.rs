//! A file as blocks, in which any change is found.
//!
//! A block begins at a multiple of 4 KiB and is filled up to the next one with zeros. Little endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `CORELANE` |
//! | 8..10 | version of the format: 1 |
//! | 10..12 | kind: 1 job, 2 state, 3 manifest; 0x100 more in the last block |
//! | 12..16 | length of the content |
//! | 16..24 | epoch |
//! | 24..28 | shard |
//! | 28..32 | sequence: which block of the file, from 0 |
//! | 32..36 | CRC32C of the bytes before and of the content |
//! | 36..40 | zero |
//! | 40.. | content |
//!
//! The last block is the footer: number of blocks before it, length and [`digest`] of their contents.

use corelane_engine::hash;

/// Blocks begin at multiples of this.
pub(super) const ALIGN: usize = 4096;
const MAGIC: &[u8; 8] = b"CORELANE";
const VERSION: u16 = 1;
const HEAD: usize = 40;
const FOOTER: u16 = 0x100;
/// Content of one block.
const CONTENT_MAX: usize = (64 << 10) - HEAD;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) kind: Kind,
    pub(super) epoch: u64,
    pub(super) shard: u32,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Job = 1,
    State = 2,
    Manifest = 3,
}

/// 128 bits that tell contents apart.
pub(super) fn digest(content: &[u8]) -> u128 {
    let (words, rest) = content.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let all = words.iter().chain([&last]).map(|word| u64::from_le_bytes(*word));
    let length = content.len() as u64;
    let start = [1, 2].map(|seed| hash::word(hash::start(seed), length));
    let [low, high] = all.fold(start, |both, next| both.map(|one| hash::word(one, next))).map(hash::end);
    u128::from(high) << 64 | u128::from(low)
}

/// The file of `content`.
pub(super) fn encode(label: Label, content: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(content.len() + content.len() / 8 + 2 * ALIGN);
    let pieces = content.chunks(CONTENT_MAX);
    let count = pieces.len() as u32;
    for (sequence, piece) in (0..).zip(pieces) {
        put(&mut file, label, 0, sequence, piece);
    }
    let mut footer = u64::from(count).to_le_bytes().to_vec();
    footer.extend_from_slice(&(content.len() as u64).to_le_bytes());
    footer.extend_from_slice(&digest(content).to_le_bytes());
    put(&mut file, label, FOOTER, count, &footer);
    file
}

fn head(label: Label, last: u16, sequence: u32, content: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8..10].copy_from_slice(&VERSION.to_le_bytes());
    head[10..12].copy_from_slice(&(label.kind as u16 | last).to_le_bytes());
    head[12..16].copy_from_slice(&(content.len() as u32).to_le_bytes());
    head[16..24].copy_from_slice(&label.epoch.to_le_bytes());
    head[24..28].copy_from_slice(&label.shard.to_le_bytes());
    head[28..32].copy_from_slice(&sequence.to_le_bytes());
    let sum = crc32c::crc32c_append(crc32c::crc32c(&head[..32]), content);
    head[32..36].copy_from_slice(&sum.to_le_bytes());
    head
}

fn put(file: &mut Vec<u8>, label: Label, last: u16, sequence: u32, content: &[u8]) {
    file.extend_from_slice(&head(label, last, sequence, content));
    file.extend_from_slice(content);
    file.resize(file.len().next_multiple_of(ALIGN), 0);
}

/// The content of a file, or what is wrong with it.
pub(super) fn decode(label: Label, mut file: &[u8]) -> Result<Vec<u8>, String> {
    if file.get(..8).is_some_and(|magic| magic == MAGIC) && file.get(8..10) != Some(&VERSION.to_le_bytes()) {
        return Err("it was written by another version".to_owned());
    }
    let mut content = Vec::new();
    for sequence in 0u32.. {
        let wrong = |what: &str| Err(format!("{what} in block {sequence}"));
        let Some(length) = file.get(12..16).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes) else {
            return wrong("it ends too early");
        };
        let end = HEAD + length as usize;
        if length as usize > CONTENT_MAX || end.next_multiple_of(ALIGN) > file.len() {
            return wrong("a length goes beyond the end");
        }
        let (block, rest) = file.split_at(end.next_multiple_of(ALIGN));
        let last = if block[11] == 1 { FOOTER } else { 0 };
        if block[..HEAD] != head(label, last, sequence, &block[HEAD..end]) {
            return wrong("the checksum or the place is not right");
        }
        if block[end..].iter().any(|&byte| byte != 0) {
            return wrong("something stands behind the content");
        }
        if last == 0 {
            content.extend_from_slice(&block[HEAD..end]);
            file = rest;
            continue;
        }
        let mut footer = u64::from(sequence).to_le_bytes().to_vec();
        footer.extend_from_slice(&(content.len() as u64).to_le_bytes());
        footer.extend_from_slice(&digest(&content).to_le_bytes());
        if block[HEAD..end] != footer {
            return wrong("counts are not right");
        }
        return if rest.is_empty() { Ok(content) } else { wrong("something stands behind the file's end") };
    }
    Err("it has too many blocks".to_owned())
}

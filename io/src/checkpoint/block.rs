//! A file as blocks, in which any change is found.
//!
//! A block begins at a multiple of 4 KiB and is filled up to the next one with zeros. Little endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `CORELANE` |
//! | 8..10 | version of the format: 2 |
//! | 10..12 | kind: 1 job, 2 state, 3 manifest; 0x100 more in the last block |
//! | 12..16 | length of the content |
//! | 16..24 | epoch |
//! | 24..28 | shard |
//! | 28..32 | sequence: which block of the file, from 0 |
//! | 32..36 | CRC32C of the bytes before and of the content |
//! | 36..40 | zero |
//! | 40.. | content |
//!
//! The last block is the footer: number of blocks before it, length and [`Digest`] of their contents.

use corelane_engine::hash;

/// Blocks begin at multiples of this.
pub(super) const ALIGN: usize = 4096;
const MAGIC: &[u8; 8] = b"CORELANE";
const VERSION: u16 = 2;
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

/// 128 bits that tell contents apart, which come piece by piece.
struct Digest {
    both: [u64; 2],
    length: u64,
}

impl Digest {
    fn new() -> Self {
        Digest { both: [1, 2].map(hash::start), length: 0 }
    }

    /// Adds a piece; all but the last are multiples of eight bytes.
    fn add(&mut self, piece: &[u8]) {
        let (words, rest) = piece.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let all = words.iter().chain((!rest.is_empty()).then_some(&last)).map(|word| u64::from_le_bytes(*word));
        self.both = all.fold(self.both, |both, next| both.map(|one| hash::word(one, next)));
        self.length += piece.len() as u64;
    }

    fn end(&self) -> u128 {
        let [low, high] = self.both.map(|one| hash::end(hash::word(one, self.length)));
        u128::from(high) << 64 | u128::from(low)
    }
}

/// The file of `content`.
pub(super) fn encode(label: Label, content: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(label);
    encoder.add(content);
    encoder.end();
    encoder.file
}

/// A file whose content comes piece by piece.
pub(super) struct Encoder {
    label: Label,
    /// Whole blocks, and the one at hand behind them.
    file: Vec<u8>,
    /// Where that one begins.
    block: usize,
    sequence: u32,
    digest: Digest,
}

impl Encoder {
    pub(super) fn new(label: Label) -> Self {
        Encoder { label, file: vec![0; HEAD], block: 0, sequence: 0, digest: Digest::new() }
    }

    /// Adds content.
    pub(super) fn add(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            let room = self.block + HEAD + CONTENT_MAX - self.file.len();
            if room == 0 {
                self.end_block();
                continue;
            }
            let (piece, rest) = content.split_at(room.min(content.len()));
            self.file.extend_from_slice(piece);
            content = rest;
        }
    }

    fn end_block(&mut self) {
        let content = &self.file[self.block + HEAD..];
        self.digest.add(content);
        let head = head(self.label, 0, self.sequence, content);
        self.file[self.block..self.block + HEAD].copy_from_slice(&head);
        self.file.resize(self.file.len().next_multiple_of(ALIGN), 0);
        (self.block, self.sequence) = (self.file.len(), self.sequence + 1);
        self.file.resize(self.block + HEAD, 0);
    }

    /// Gives what is ready of the file, once it is `least` bytes, and forgets it.
    pub(super) fn ready<E>(&mut self, least: usize, write: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<u64, E> {
        if self.block < least.max(1) {
            return Ok(0);
        }
        write(&self.file[..self.block])?;
        self.file.drain(..self.block);
        Ok(std::mem::take(&mut self.block) as u64)
    }

    /// Ends the file; returns the [`Digest`] of its content.
    pub(super) fn end(&mut self) -> u128 {
        if self.file.len() > self.block + HEAD {
            self.end_block();
        }
        self.file.truncate(self.block);
        let digest = self.digest.end();
        put(&mut self.file, self.label, FOOTER, self.sequence, &footer(self.sequence, self.digest.length, digest));
        self.block = self.file.len();
        digest
    }
}

fn footer(blocks: u32, length: u64, digest: u128) -> Vec<u8> {
    let mut footer = u64::from(blocks).to_le_bytes().to_vec();
    footer.extend_from_slice(&length.to_le_bytes());
    footer.extend_from_slice(&digest.to_le_bytes());
    footer
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

/// The content of a file with its [`Digest`], or what is wrong with it.
pub(super) fn decode(label: Label, mut file: &[u8]) -> Result<(Vec<u8>, u128), String> {
    if file.get(..8).is_some_and(|magic| magic == MAGIC) && file.get(8..10) != Some(&VERSION.to_le_bytes()) {
        return Err("it was written by another version".to_owned());
    }
    let mut content = Vec::with_capacity(file.len());
    let mut digest = Digest::new();
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
            digest.add(&block[HEAD..end]);
            file = rest;
            continue;
        }
        let digest = digest.end();
        if block[HEAD..end] != footer(sequence, content.len() as u64, digest) {
            return wrong("counts are not right");
        }
        return if rest.is_empty() { Ok((content, digest)) } else { wrong("something stands behind the file's end") };
    }
    Err("it has too many blocks".to_owned())
}

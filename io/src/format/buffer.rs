//! Bytes on their way out: a buffer that is initialised once and written by position.

/// A growing stretch of bytes with room behind what is used, so that a value can be written without
/// asking for space byte by byte and without clearing memory first.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    used: usize,
}

impl Buffer {
    /// What has been written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Memory held, in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets what was written; keeps the memory.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Forgets the first `count` bytes; the rest moves to the front.
    pub fn drop_front(&mut self, count: usize) {
        self.bytes.copy_within(count..self.used, 0);
        self.used -= count;
    }

    /// The `count` bytes behind what is written, to be filled; then say how many with
    /// [`Buffer::advance`].
    #[inline]
    pub fn room(&mut self, count: usize) -> &mut [u8] {
        if self.bytes.len() - self.used < count {
            self.grow(count);
        }
        &mut self.bytes[self.used..self.used + count]
    }

    #[cold]
    fn grow(&mut self, count: usize) {
        let wanted = (self.used + count).max(2 * self.bytes.len()).max(4096);
        self.bytes.resize(wanted, 0);
    }

    /// Counts `count` bytes of the room as written.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        self.used += count;
        assert!(self.used <= self.bytes.len());
    }

    /// Appends one byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.room(1)[0] = byte;
        self.used += 1;
    }

    /// Writes `byte` over the last one.
    #[inline]
    pub fn replace_last(&mut self, byte: u8) {
        self.bytes[self.used - 1] = byte;
    }

    /// Writes `byte` over the one at `place`.
    pub fn replace(&mut self, place: usize, byte: u8) {
        self.bytes[..self.used][place] = byte;
    }

    /// Appends `bytes`.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.used += bytes.len();
    }

    /// Appends up to 12 short bytes by one 16-byte copy.
    #[inline]
    pub fn extend_short(&mut self, padded: [u8; 16], len: usize) {
        self.room(16).copy_from_slice(&padded);
        self.used += len;
    }
}

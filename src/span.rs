//! A range of bytes that is kept instead of a borrow, so that no lifetime ties a state machine to
//! the buffer it was fed from.

/// `length` bytes from `start` of a buffer that the holder of the span knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Number of bytes.
    pub length: usize,
}

impl Span {
    /// The bytes from `start` up to but not including `end`.
    ///
    /// # Panics
    /// If `end` lies before `start`.
    pub const fn new(start: usize, end: usize) -> Self {
        assert!(start <= end, "a span ends before it starts");
        Self { start, length: end - start }
    }

    /// Offset behind the last byte.
    pub const fn end(self) -> usize {
        self.start + self.length
    }

    /// Whether it holds no byte.
    pub const fn is_empty(self) -> bool {
        self.length == 0
    }

    /// The bytes that the span names in `buffer`; empty if it reaches past the end, which a debug
    /// build reports as the mistake that it is.
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        let bytes = buffer.get(self.start..self.end());
        debug_assert!(bytes.is_some(), "a span was used on a buffer that it is not from");
        bytes.unwrap_or_default()
    }
}

//! Streams that come in pieces.

/// Ways of cutting a stream: not at all, as the fuzzer wants, and into single bytes.
pub const WAYS: [Way; 3] = [Way::Whole, Way::Lengths, Way::Bytes];

/// See [`WAYS`].
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// One piece.
    Whole,
    /// Pieces of the lengths that the input asks for, in turn.
    Lengths,
    /// Pieces of one byte.
    Bytes,
}

/// What the fuzzer wants.
#[derive(Clone, Copy, Debug)]
pub struct Lengths<'a>(&'a [u8]);

impl<'a> Lengths<'a> {
    /// The first byte says how many lengths follow, at most seven; the rest is the stream.
    pub fn of(input: &'a [u8]) -> (Self, &'a [u8]) {
        let Some((&count, rest)) = input.split_first() else { return (Self(&[]), &[]) };
        let (lengths, stream) = rest.split_at(usize::from(count % 8).min(rest.len()));
        (Self(lengths), stream)
    }

    /// The pieces of `stream`.
    pub fn cut(self, way: Way, stream: &[u8]) -> Vec<&[u8]> {
        let lengths = match way {
            Way::Whole => &[],
            Way::Lengths => self.0,
            Way::Bytes => &[1],
        };
        let mut pieces = Vec::new();
        let mut rest = stream;
        for &length in lengths.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(usize::from(length).max(1).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces.push(rest);
        pieces
    }
}

/// The stream of an input, cut in all ways.
pub fn ways_of_cutting(input: &[u8]) -> Vec<Vec<&[u8]>> {
    let (lengths, stream) = Lengths::of(input);
    WAYS.into_iter().map(|way| lengths.cut(way, stream)).collect()
}

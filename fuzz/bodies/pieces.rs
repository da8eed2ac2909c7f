//! Streams that come in pieces.

/// The ways in which a stream is cut: not at all, as the fuzzer wants, and into single bytes.
pub fn ways_of_cutting(input: &[u8]) -> Vec<Vec<&[u8]>> {
    let (cuts, stream) = split_cuts(input);
    vec![vec![stream], cut(stream, cuts), stream.chunks(1).collect()]
}

/// The first byte says how many lengths follow, at most seven; the rest is the stream.
fn split_cuts(input: &[u8]) -> (&[u8], &[u8]) {
    let Some((&count, rest)) = input.split_first() else { return (&[], &[]) };
    rest.split_at(usize::from(count % 8).min(rest.len()))
}

/// Pieces of these lengths, in turn; without any, one piece.
fn cut<'a>(stream: &'a [u8], lengths: &[u8]) -> Vec<&'a [u8]> {
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

//! The bytes of a spool segment: its header, commit groups and the framing of records.
//!
//! ```text
//! block 0   segment header, zeros, checksum
//! block 1   group header | record | record | … | zeros to the end of the block
//! block n   group header | record | …
//! ```
//!
//! A segment file is used again and again. Each use has a higher generation, which every group and
//! record carries, so that what an earlier use left behind is never taken for part of this one.
//! Integers are little-endian.
//!
//! # Guarantees
//! - Whatever was written is read back equal; a change of any byte of a header or record is noticed
//!   by its checksum (crc32c), but for one chance in 2^32 when many change.
//! - Group headers carry the log's id, a random number that no client knows, so that mail whose
//!   content looks like a group is not taken for one.
//! - A group header alone tells what recovery must know of the log around it: what was durable
//!   when it was sealed, where the log begins, and which groups before it are void.
//!
//! # Never
//! It panics on no input, and reads nothing outside the bytes it is given.
//!
//! # Bounds
//! A record is at most [`RECORD_BYTES_MAX`] long, a group [`GROUP_SPAN_BYTES_MAX`].

use super::codec::{Decoder, Encoder};
use crate::ids::{Generation, GroupSequence};
use crate::limits::{BLOCK_BYTES, GROUP_SPAN_BYTES_MAX, RECORD_BYTES_MAX};
use crate::message::Extent;

/// Version of the format; another one is refused.
pub const FORMAT_VERSION: u32 = 1;

/// Bytes of a group header.
pub const GROUP_HEADER_BYTES: usize = 80;

/// Bytes of a record header.
pub const RECORD_HEADER_BYTES: usize = 20;

/// Bytes of the header that lies directly before the content bytes of an [`Extent`].
pub const CHUNK_HEADER_BYTES: usize = RECORD_HEADER_BYTES;

const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"RINGPOST");
const GROUP_MAGIC: u32 = u32::from_le_bytes(*b"RPG1");
const SEGMENT_CHECKSUM_AT: usize = BLOCK_BYTES - 4;
const GROUP_CHECKSUM_AT: usize = GROUP_HEADER_BYTES - 4;
const RECORD_CHECKSUM_AT: usize = RECORD_HEADER_BYTES - 4;

/// What block 0 of a segment says of this use of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Random number of the log that the segment belongs to.
    pub log_id: u64,
    /// This use of the file.
    pub generation: Generation,
    /// Sequence of the first group that is written to it.
    pub first: GroupSequence,
    /// Groups from here on in older segments are void: they were answered with a failure, or a
    /// crash cut them off. Without such groups it equals `first`.
    pub cut: GroupSequence,
    /// The segment that this one goes on from. Those of generations between the two are no part of
    /// the log: they were given up, or a recovery found them without groups.
    pub after: Generation,
    /// Oldest generation in use when this was written.
    pub log_start: Generation,
    /// Length of the file.
    pub segment_bytes: u64,
}

/// Why block 0 of a segment is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentHeaderError {
    /// All bytes are zero: the file was prepared and never used.
    Blank,
    /// Neither zero nor a header.
    Invalid,
    /// A header of another version of the format.
    Version(u32),
}

impl SegmentHeader {
    /// The whole block.
    pub fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        let mut encoder = Encoder::new(&mut block);
        encoder.u64(SEGMENT_MAGIC);
        encoder.u32(FORMAT_VERSION);
        encoder.u32(0);
        encoder.u64(self.log_id);
        encoder.u64(self.generation.0);
        encoder.u64(self.first.0);
        encoder.u64(self.cut.0);
        encoder.u64(self.after.0);
        encoder.u64(self.log_start.0);
        encoder.u64(self.segment_bytes);
        let checksum = crc32c::crc32c(&block[..SEGMENT_CHECKSUM_AT]);
        block[SEGMENT_CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    /// Reads a block.
    ///
    /// # Errors
    /// What it is instead.
    pub fn decode(block: &[u8; BLOCK_BYTES]) -> Result<Self, SegmentHeaderError> {
        if block.iter().all(|&byte| byte == 0) {
            return Err(SegmentHeaderError::Blank);
        }
        let (covered, checksum) = block.split_at(SEGMENT_CHECKSUM_AT);
        if Decoder::new(checksum).u32() != Some(crc32c::crc32c(covered)) {
            return Err(SegmentHeaderError::Invalid);
        }
        let mut decoder = Decoder::new(covered);
        if decoder.u64() != Some(SEGMENT_MAGIC) {
            return Err(SegmentHeaderError::Invalid);
        }
        match decoder.u32() {
            Some(FORMAT_VERSION) => {}
            version => return Err(SegmentHeaderError::Version(version.unwrap_or(0))),
        }
        Self::decode_fields(&mut decoder).ok_or(SegmentHeaderError::Invalid)
    }

    fn decode_fields(decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.u32()?;
        Some(Self {
            log_id: decoder.u64()?,
            generation: Generation(decoder.u64()?),
            first: GroupSequence(decoder.u64()?),
            cut: GroupSequence(decoder.u64()?),
            after: Generation(decoder.u64()?),
            log_start: Generation(decoder.u64()?),
            segment_bytes: decoder.u64()?,
        })
    }
}

/// What the first bytes of a commit group say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// Bytes of this header and the records, without the zeros behind them.
    pub length: u32,
    /// Random number of the log.
    pub log_id: u64,
    /// The use of the segment.
    pub generation: Generation,
    /// Place in the log.
    pub sequence: GroupSequence,
    /// When this group was sealed, every group up to this one was durable or void.
    pub durable_through: GroupSequence,
    /// When this group was sealed, no segment of a lower generation was needed any more.
    pub log_start: Generation,
    /// [`SegmentHeader::first`] of the segment, so that its loss is no harm.
    pub segment_first: GroupSequence,
    /// [`SegmentHeader::cut`] of the segment.
    pub segment_cut: GroupSequence,
    /// [`SegmentHeader::after`] of the segment.
    pub segment_after: Generation,
    /// Number of records.
    pub record_count: u32,
}

impl GroupHeader {
    /// Writes it to the first bytes of `group`.
    ///
    /// # Panics
    /// If `group` is shorter than [`GROUP_HEADER_BYTES`].
    pub fn encode(&self, group: &mut [u8]) {
        let header = &mut group[..GROUP_HEADER_BYTES];
        let mut encoder = Encoder::new(header);
        encoder.u32(GROUP_MAGIC);
        encoder.u32(self.length);
        encoder.u64(self.log_id);
        encoder.u64(self.generation.0);
        encoder.u64(self.sequence.0);
        encoder.u64(self.durable_through.0);
        encoder.u64(self.log_start.0);
        encoder.u64(self.segment_first.0);
        encoder.u64(self.segment_cut.0);
        encoder.u64(self.segment_after.0);
        encoder.u32(self.record_count);
        let checksum = crc32c::crc32c(&header[..GROUP_CHECKSUM_AT]);
        header[GROUP_CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Reads the header at the start of `bytes`; `None` if there is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..GROUP_HEADER_BYTES)?;
        let mut decoder = Decoder::new(header);
        if decoder.u32()? != GROUP_MAGIC {
            return None;
        }
        let decoded = Self {
            length: decoder.u32()?,
            log_id: decoder.u64()?,
            generation: Generation(decoder.u64()?),
            sequence: GroupSequence(decoder.u64()?),
            durable_through: GroupSequence(decoder.u64()?),
            log_start: Generation(decoder.u64()?),
            segment_first: GroupSequence(decoder.u64()?),
            segment_cut: GroupSequence(decoder.u64()?),
            segment_after: Generation(decoder.u64()?),
            record_count: decoder.u32()?,
        };
        let (covered, _) = header.split_at(GROUP_CHECKSUM_AT);
        let sound = decoder.u32()? == crc32c::crc32c(covered);
        let length = decoded.length as usize;
        (sound && (GROUP_HEADER_BYTES..=GROUP_SPAN_BYTES_MAX).contains(&length)).then_some(decoded)
    }

    /// Bytes that the group takes in the segment.
    pub fn span_bytes(&self) -> u64 {
        u64::from(self.length).next_multiple_of(BLOCK_BYTES as u64)
    }
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Content bytes of a message: the payload is one [`Extent`].
    Chunk,
    /// A message with its envelope and the list of its extents.
    Message,
    /// New states of some recipients of a message.
    Outcome,
}

impl RecordKind {
    const fn tag(self) -> u8 {
        match self {
            Self::Chunk => 1,
            Self::Message => 2,
            Self::Outcome => 3,
        }
    }

    const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::Chunk),
            2 => Some(Self::Message),
            3 => Some(Self::Outcome),
            _ => None,
        }
    }
}

/// Writes the header of a record whose payload already lies behind it in `record`.
///
/// # Panics
/// If `record` is shorter than a header or longer than [`RECORD_BYTES_MAX`].
pub fn seal_record(record: &mut [u8], kind: RecordKind, generation: Generation) {
    assert!(record.len() <= RECORD_BYTES_MAX, "a record is longer than a record may be");
    let (header, payload) = record.split_at_mut(RECORD_HEADER_BYTES);
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut encoder = Encoder::new(header);
    encoder.u8(kind.tag());
    encoder.bytes(&[0; 3]);
    encoder.u32(length);
    encoder.u64(generation.0);
    let checksum = record_checksum(header, payload);
    header[RECORD_CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
}

/// A record whose checksum was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it holds.
    pub kind: RecordKind,
    /// The use of the segment that it was written in.
    pub generation: Generation,
    /// The bytes behind its header.
    pub payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the record at the start of `bytes`; `None` if there is none or any byte of it changed.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(RECORD_HEADER_BYTES)?;
        let mut decoder = Decoder::new(header);
        let kind = RecordKind::from_tag(decoder.u8()?)?;
        decoder.take(3)?;
        let length = usize::try_from(decoder.u32()?).ok()?;
        let generation = Generation(decoder.u64()?);
        let payload = rest.get(..length)?;
        let sound = decoder.u32()? == record_checksum(header, payload);
        sound.then_some(Record { kind, generation, payload })
    }

    /// Bytes of the record with its header.
    pub const fn span_bytes(&self) -> usize {
        RECORD_HEADER_BYTES + self.payload.len()
    }
}

fn record_checksum(header: &[u8], payload: &[u8]) -> u32 {
    let (covered, _) = header.split_at(RECORD_CHECKSUM_AT);
    crc32c::crc32c_append(crc32c::crc32c(covered), payload)
}

/// Reads the records of one group in order.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    group: &'a [u8],
    at: usize,
    left: u32,
    generation: Generation,
}

impl<'a> Records<'a> {
    /// The records of the group that starts with `bytes`; `None` if it is cut short.
    pub fn new(bytes: &'a [u8], header: &GroupHeader) -> Option<Self> {
        let group = bytes.get(..header.length as usize)?;
        let (left, generation) = (header.record_count, header.generation);
        Some(Self { group, at: GROUP_HEADER_BYTES, left, generation })
    }

    /// The next record with the offset of its payload in the group, `Ok(None)` behind the last.
    ///
    /// # Errors
    /// [`BrokenGroup`] if what follows is not what the header promised.
    pub fn next_record(&mut self) -> Result<Option<(usize, Record<'a>)>, BrokenGroup> {
        if self.left == 0 {
            return if self.at == self.group.len() { Ok(None) } else { Err(BrokenGroup) };
        }
        let rest = self.group.get(self.at..).ok_or(BrokenGroup)?;
        let record = Record::decode(rest).ok_or(BrokenGroup)?;
        if record.generation != self.generation {
            return Err(BrokenGroup);
        }
        let payload_at = self.at + RECORD_HEADER_BYTES;
        self.at += record.span_bytes();
        self.left -= 1;
        Ok(Some((payload_at, record)))
    }

    /// Whether every record is as the header promised.
    pub fn are_sound(mut self) -> bool {
        loop {
            match self.next_record() {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(BrokenGroup) => return false,
            }
        }
    }
}

/// A group whose records are not as its header promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of the group is damaged")]
pub struct BrokenGroup;

/// The content bytes in `chunk`, a chunk record as it was read from disk.
///
/// # Errors
/// [`WrongChunk`] unless it is, unchanged, the chunk that holds `extent`.
pub fn verify_chunk<'a>(chunk: &'a [u8], extent: &Extent) -> Result<&'a [u8], WrongChunk> {
    let record = Record::decode(chunk).ok_or(WrongChunk)?;
    let right = record.kind == RecordKind::Chunk
        && record.generation == extent.generation
        && record.payload.len() == extent.length as usize;
    if right { Ok(record.payload) } else { Err(WrongChunk) }
}

/// Bytes that are not the chunk that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the content on disk is damaged: its checksum does not match")]
pub struct WrongChunk;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment_header() -> SegmentHeader {
        SegmentHeader {
            log_id: 0x0123_4567_89ab_cdef,
            generation: Generation(7),
            first: GroupSequence(40),
            cut: GroupSequence(38),
            after: Generation(5),
            log_start: Generation(3),
            segment_bytes: 64 << 20,
        }
    }

    /// A group of one chunk, one outcome payload of opaque bytes and an empty chunk.
    fn group() -> Vec<u8> {
        let mut group = vec![0; GROUP_HEADER_BYTES];
        for (kind, payload) in [
            (RecordKind::Chunk, &b"Received: by somebody\r\n"[..]),
            (RecordKind::Outcome, b"opaque"),
            (RecordKind::Chunk, b""),
        ] {
            let at = group.len();
            group.resize(at + RECORD_HEADER_BYTES, 0);
            group.extend_from_slice(payload);
            seal_record(&mut group[at..], kind, Generation(7));
        }
        let header = GroupHeader {
            length: u32::try_from(group.len()).unwrap(),
            log_id: 1,
            generation: Generation(7),
            sequence: GroupSequence(41),
            durable_through: GroupSequence(39),
            log_start: Generation(3),
            segment_first: GroupSequence(40),
            segment_cut: GroupSequence(38),
            segment_after: Generation(5),
            record_count: 3,
        };
        header.encode(&mut group);
        assert_eq!(GroupHeader::decode(&group), Some(header));
        group
    }

    fn is_sound(bytes: &[u8]) -> bool {
        GroupHeader::decode(bytes)
            .and_then(|header| Records::new(bytes, &header))
            .is_some_and(Records::are_sound)
    }

    #[test]
    fn a_segment_header_is_read_back() {
        let block = segment_header().encode();
        assert_eq!(SegmentHeader::decode(&block), Ok(segment_header()));
        assert_eq!(SegmentHeader::decode(&[0; BLOCK_BYTES]), Err(SegmentHeaderError::Blank));
    }

    #[test]
    fn any_changed_byte_of_a_segment_header_is_noticed() {
        let block = segment_header().encode();
        for at in 0..block.len() {
            let mut changed = block;
            changed[at] ^= 0x40;
            assert_eq!(SegmentHeader::decode(&changed), Err(SegmentHeaderError::Invalid), "{at}");
        }
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut block = segment_header().encode();
        block[8] = 9;
        let checksum = crc32c::crc32c(&block[..SEGMENT_CHECKSUM_AT]);
        block[SEGMENT_CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&block), Err(SegmentHeaderError::Version(9)));
    }

    #[test]
    fn the_records_of_a_group_are_read_back() {
        let bytes = group();
        let header = GroupHeader::decode(&bytes).unwrap();
        let mut records = Records::new(&bytes, &header).unwrap();
        let (at, first) = records.next_record().unwrap().unwrap();
        assert_eq!(first.kind, RecordKind::Chunk);
        assert_eq!(&bytes[at..at + first.payload.len()], b"Received: by somebody\r\n");
        assert_eq!(records.next_record().unwrap().unwrap().1.payload, b"opaque");
        assert_eq!(records.next_record().unwrap().unwrap().1.payload, b"");
        assert_eq!(records.next_record(), Ok(None));
        assert_eq!(header.span_bytes(), 4_096);
    }

    #[test]
    fn any_changed_byte_of_a_group_is_noticed() {
        let bytes = group();
        assert!(is_sound(&bytes));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(!is_sound(&changed), "byte {at}, bit {bit}");
            }
        }
        for end in 0..bytes.len() {
            assert!(!is_sound(&bytes[..end]), "cut at {end}");
        }
    }

    #[test]
    fn a_chunk_is_only_the_one_that_was_asked_for() {
        let mut chunk = vec![0; CHUNK_HEADER_BYTES];
        chunk.extend_from_slice(b"content");
        seal_record(&mut chunk, RecordKind::Chunk, Generation(2));
        let extent = Extent { generation: Generation(2), offset: 99, length: 7 };
        assert_eq!(verify_chunk(&chunk, &extent), Ok(&b"content"[..]));
        for wrong in [
            Extent { generation: Generation(3), ..extent },
            Extent { length: 6, ..extent },
            Extent { length: 8, ..extent },
        ] {
            assert_eq!(verify_chunk(&chunk, &wrong), Err(WrongChunk));
        }
        seal_record(&mut chunk, RecordKind::Outcome, Generation(2));
        assert_eq!(verify_chunk(&chunk, &extent), Err(WrongChunk));
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            is_sound(&bytes);
            let _ = Record::decode(&bytes);
            let mut block = [0; BLOCK_BYTES];
            block[..bytes.len()].copy_from_slice(&bytes);
            let _ = SegmentHeader::decode(&block);
            // With a right header, so that the records are looked at.
            let mut forged = bytes;
            if forged.len() >= GROUP_HEADER_BYTES {
                let header = GroupHeader {
                    length: u32::try_from(forged.len()).unwrap(),
                    log_id: 0,
                    generation: Generation(0),
                    sequence: GroupSequence(0),
                    durable_through: GroupSequence(0),
                    log_start: Generation(0),
                    segment_first: GroupSequence(0),
                    segment_cut: GroupSequence(0),
                    segment_after: Generation(0),
                    record_count: 2,
                };
                header.encode(&mut forged);
                is_sound(&forged);
            }
        }
    }
}

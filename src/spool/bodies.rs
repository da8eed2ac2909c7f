//! Contents that are being received, between their first byte and their message record.
//!
//! # Bounds
//! A content that comes in many pieces is collected in memory before it goes to the log, up to
//! [`FRAGMENT_BYTES_MANY`], so that its list of extents stays short whatever a client sends.

use slab::Slab;
use smallvec::SmallVec;

use super::footprint::Footprint;
use super::segments::Privilege;
use super::writer::AppendError;
use crate::ids::{Generation, GroupSequence};
use crate::limits::{FRAGMENT_BYTES_FEW, FRAGMENT_BYTES_MANY, FRAGMENTS_FEW, FRAGMENTS_MANY};
use crate::message::Extent;

/// A content that is being received. It names nothing any more once its message was appended or it
/// was abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyId {
    index: usize,
    version: u64,
}

#[derive(Debug)]
pub(super) struct Body {
    version: u64,
    pub(super) privilege: Privilege,
    pub(super) extents: SmallVec<[Extent; 1]>,
    pub(super) length_bytes: u64,
    pub(super) footprint: Footprint,
    /// Highest group that holds a part of it.
    pub(super) last_group: GroupSequence,
    /// Why it can no longer become a message.
    pub(super) error: Option<AppendError>,
    /// Bytes that are collected because it comes in many pieces.
    pub(super) collected: Vec<u8>,
}

impl Body {
    /// Bytes to collect before they go to the log as a piece of their own.
    pub(super) fn fragment_bytes(&self) -> usize {
        match self.extents.len() {
            0..FRAGMENTS_FEW => 0,
            FRAGMENTS_FEW..FRAGMENTS_MANY => FRAGMENT_BYTES_FEW,
            FRAGMENTS_MANY.. => FRAGMENT_BYTES_MANY,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Bodies {
    slab: Slab<Body>,
    version: u64,
}

impl Bodies {
    pub(super) fn begin(&mut self, privilege: Privilege) -> BodyId {
        self.version += 1;
        let version = self.version;
        let index = self.slab.insert(Body {
            version,
            privilege,
            extents: SmallVec::new(),
            length_bytes: 0,
            footprint: Footprint::default(),
            last_group: GroupSequence(0),
            error: None,
            collected: Vec::new(),
        });
        BodyId { index, version }
    }

    pub(super) fn get_mut(&mut self, id: BodyId) -> Option<&mut Body> {
        self.slab.get_mut(id.index).filter(|body| body.version == id.version)
    }

    pub(super) fn remove(&mut self, id: BodyId) -> Option<Body> {
        self.get_mut(id)?;
        self.slab.try_remove(id.index)
    }

    /// Refuses the bodies of which `is_lost` says so.
    pub(super) fn fail(&mut self, is_lost: impl Fn(&Body) -> bool) {
        for (_, body) in &mut self.slab {
            if is_lost(body) {
                body.error = Some(AppendError::Failed);
            }
        }
    }

    pub(super) fn footprints(&self) -> impl Iterator<Item = &Footprint> {
        self.slab.iter().map(|(_, body)| &body.footprint)
    }

    /// Number of bodies whose oldest part lies in the segment of `generation`.
    pub(super) fn count_in(&self, generation: Generation) -> u64 {
        let bodies = self.slab.iter();
        bodies.filter(|(_, body)| body.footprint.oldest() == Some(generation)).count() as u64
    }

    /// Refuses the bodies that lie in the segment of `generation` or older ones, and returns what
    /// they kept from being recycled.
    pub(super) fn evict(&mut self, generation: Generation) -> Vec<Footprint> {
        let old = |body: &Body| body.footprint.oldest().is_some_and(|oldest| oldest <= generation);
        let evicted = self.slab.iter_mut().filter(|(_, body)| old(body)).map(|(_, body)| {
            body.error = Some(AppendError::Failed);
            body.extents.clear();
            std::mem::take(&mut body.footprint)
        });
        evicted.collect()
    }
}

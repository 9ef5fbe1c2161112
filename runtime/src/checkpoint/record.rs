//! What stands in a checkpoint besides the operators' state.
//!
//! A shard's file holds a section of its own ([`OWN`], read as [`Standing`]), and behind it its operators'
//! sections: in the first one stands: where its sources stand, which of its outboxes are closed, what its sinks have done, what
//! its inboxes know and hold. The file behind the last shard's is the writer's, where there is one: a section
//! per merged output with the rows that wait for their turn. The manifest says how many shards there were,
//! and where each output is cut ([`Committed`]).

use corelane_engine::Result;
use corelane_engine::operator::Time;
use corelane_engine::state::{Reader, Section, Writer};
use corelane_io::append::Cut;
use corelane_io::whole::Whole;

use super::damaged;
use crate::partitions::Stood;
use crate::source::Stand;

/// The node of a shard's own section.
pub const OWN: usize = u32::MAX as usize;

/// What a manifest says of its epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The run has come to the end of its input: there is nothing to go on with.
    pub is_finished: bool,
    /// Shards.
    pub shards: usize,
    /// The plan was one for several shards, though there may be one.
    pub is_spread: bool,
    /// The outputs.
    pub cuts: Vec<Cut>,
    /// Outputs of shards of earlier runs, to which nothing more is written.
    pub closed: Vec<Cut>,
    /// Files that have become whole since the epoch before, and take their names now.
    pub whole: Vec<Whole>,
}

impl Committed {
    /// As bytes.
    pub fn save(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.flag(self.is_finished);
        to.count(self.shards);
        to.flag(self.is_spread);
        for cuts in [&self.cuts, &self.closed] {
            to.count(cuts.len());
            cuts.iter().for_each(|cut| cut.save(&mut to));
        }
        to.count(self.whole.len());
        self.whole.iter().for_each(|whole| whole.save(&mut to));
        to.into_bytes()
    }

    /// From bytes.
    pub fn load(bytes: &[u8]) -> Result<Committed> {
        let mut from = Reader::new(bytes);
        let (is_finished, shards, is_spread) = (from.flag()?, from.word()?, from.flag()?);
        let shards = usize::try_from(shards).ok().filter(|shards| (1..=crate::lane::MAX_SHARDS).contains(shards));
        let mut cuts = [Vec::new(), Vec::new()];
        for cuts in &mut cuts {
            for _ in 0..from.count(32)? {
                cuts.push(Cut::load(&mut from)?);
            }
        }
        let mut whole = Vec::new();
        for _ in 0..from.count(40)? {
            whole.push(Whole::load(&mut from)?);
        }
        from.end()?;
        let [cuts, closed] = cuts;
        let shards = shards.ok_or_else(|| damaged("it has no such number of shards"))?;
        Ok(Committed { is_finished, shards, is_spread, cuts, closed, whole })
    }

    /// All files that are committed up to a cut.
    pub fn files(&self) -> impl Iterator<Item = &Cut> {
        self.cuts.iter().chain(&self.closed)
    }
}

/// Where a shard stood, but for what its inboxes held.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Of each source: the watermark that was told, whether its end was, and how far it was read.
    pub sources: Vec<(Time, bool, Stand)>,
    /// Whether each outbox is closed.
    pub closed: Vec<bool>,
    /// Its sinks.
    pub sinks: Vec<SinkStanding>,
}

/// What a sink had done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkStanding {
    /// Its rows have ended.
    pub finished: bool,
    /// It wants no more.
    pub satisfied: bool,
    /// Its header is still to come.
    pub header_due: bool,
    /// Rows were written.
    pub is_begun: bool,
    /// How many.
    pub rows: u64,
    /// Bytes of text.
    pub bytes: u64,
    /// Rows and bytes besides, that went elsewhere.
    pub earlier: (u64, u64),
    /// The shard's own file, or nothing.
    pub file: String,
    /// Its files in folders that rows name.
    pub parts: Stood,
}

impl SinkStanding {
    /// Writes it.
    pub fn save(&self, to: &mut Writer) {
        [self.finished, self.satisfied, self.header_due, self.is_begun].into_iter().for_each(|flag| to.flag(flag));
        [self.rows, self.bytes, self.earlier.0, self.earlier.1].into_iter().for_each(|count| to.word(count));
        to.text(self.file.as_bytes());
        self.parts.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<SinkStanding> {
        let [finished, satisfied, header_due, is_begun] = [from.flag()?, from.flag()?, from.flag()?, from.flag()?];
        let (rows, bytes, earlier) = (from.word()?, from.word()?, (from.word()?, from.word()?));
        let file = from.text()?.to_vec();
        let file = String::from_utf8(file).map_err(|_| damaged("a file's name is not UTF-8"))?;
        let parts = Stood::load(from)?;
        Ok(SinkStanding { finished, satisfied, header_due, is_begun, rows, bytes, earlier, file, parts })
    }
}

impl Standing {
    /// Of the shard that has written `sections`; with what follows, about its inboxes.
    pub fn of(sections: &[Section]) -> Result<(Standing, Reader<'_>)> {
        let own = sections.first().filter(|section| section.node == OWN);
        let own = own.ok_or_else(|| damaged("a shard does not say where it stands"))?;
        let mut from = Reader::new(&own.bytes);
        let mut standing = Standing { sources: Vec::new(), closed: Vec::new(), sinks: Vec::new() };
        for _ in 0..from.count(9)? {
            standing.sources.push((from.word()? as i64, from.flag()?, Stand::read(&mut from)?));
        }
        for _ in 0..from.count(1)? {
            standing.closed.push(from.flag()?);
        }
        for _ in 0..from.count(68)? {
            standing.sinks.push(SinkStanding::load(&mut from)?);
        }
        Ok((standing, from))
    }
}

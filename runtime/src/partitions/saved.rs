//! What a shard knows of its partitioned files at a barrier, written and taken up again.

use corelane_engine::Result;
use corelane_engine::state::{Reader, Writer};
use corelane_io::whole::{self, OpenWhole, Whole};

use super::{Folder, Part, Partitions};
use crate::checkpoint::damaged;

/// What was known of the files of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stood {
    /// Files begun.
    pub begun: u64,
    /// Rows seen.
    now: u64,
    folders: Vec<StoodFolder>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct StoodFolder {
    key: Vec<u8>,
    path: String,
    used: u64,
    /// The file that is written to, with its rows.
    file: Option<(Whole, u64)>,
}

impl Stood {
    /// As bytes.
    pub fn save(&self, to: &mut Writer) {
        to.word(self.begun);
        to.word(self.now);
        to.count(self.folders.len());
        for folder in &self.folders {
            to.text(&folder.key);
            to.text(folder.path.as_bytes());
            to.word(folder.used);
            to.flag(folder.file.is_some());
            if let Some((whole, rows)) = &folder.file {
                whole.save(to);
                to.word(*rows);
            }
        }
    }

    /// From bytes.
    pub fn load(from: &mut Reader<'_>) -> Result<Stood> {
        let mut stood = Stood { begun: from.word()?, now: from.word()?, folders: Vec::new() };
        for _ in 0..from.count(25)? {
            let key = from.text()?.to_vec();
            let path = String::from_utf8(from.text()?.to_vec());
            let path = path.map_err(|_| damaged("a folder's name is not UTF-8"))?;
            let used = from.word()?;
            let file = if from.flag()? { Some((Whole::load(from)?, from.word()?)) } else { None };
            stood.folders.push(StoodFolder { key, path, used, file });
        }
        Ok(stood)
    }

    /// The files that are written to.
    pub fn files(&self) -> impl Iterator<Item = &Whole> {
        self.folders.iter().filter_map(|folder| folder.file.as_ref()).map(|(whole, _)| whole)
    }
}

impl Partitions {
    /// What is known. Only behind [`Partitions::flush`].
    pub fn stood(&self) -> Stood {
        let mut folders = Vec::with_capacity(self.places.len());
        for (key, &place) in &self.places {
            let Folder { path, file, used } = self.folders[place].as_ref().expect("a place is a folder's");
            let file = file.as_ref().map(|part| (part.file.cut().whole, part.rows));
            folders.push(StoodFolder { key: key.clone(), path: path.clone(), used: *used, file });
        }
        folders.sort_by_key(|folder| folder.used);
        Stood { begun: self.begun, now: self.now, folders }
    }

    /// The files that are written to, as they are now. Only behind [`Partitions::flush`].
    pub fn cuts(&self) -> impl Iterator<Item = OpenWhole> + '_ {
        self.parts().map(|part| part.file.cut())
    }

    /// Hands over the files that have become whole.
    pub fn take_whole(&mut self) -> Vec<OpenWhole> {
        std::mem::take(&mut self.whole)
    }

    /// Goes on with the files of the same shard of another run. Only on new ones; `is_repeated` as of
    /// [`whole::Part::go_on`].
    pub fn go_on(&mut self, stood: &Stood, is_repeated: bool) -> Result<()> {
        (self.begun, self.now) = (stood.begun, stood.now);
        for StoodFolder { key, path, used, file } in &stood.folders {
            let file = match file {
                None => None,
                Some((whole, rows)) => Some(self.part_on(whole, *rows, is_repeated)?),
            };
            self.take_up(key, Folder { path: path.clone(), file, used: *used });
        }
        Ok(())
    }

    /// Begins to count files behind those of all shards of other runs.
    pub fn count_from(&mut self, begun: u64) {
        self.begun = begun;
    }

    /// Ends the files of a shard of another number of shards.
    pub fn close(&self, stood: &Stood) -> Result<Vec<Whole>> {
        let mut closed = Vec::new();
        for (whole, rows) in stood.folders.iter().filter_map(|folder| folder.file.as_ref()) {
            let mut part = self.part_on(whole, *rows, false)?;
            part.assembler.footer(&mut part.text);
            part.flush()?;
            closed.push(part.file.cut().sync_and_close()?.whole);
        }
        Ok(closed)
    }

    fn part_on(&self, whole: &Whole, rows: u64, is_repeated: bool) -> Result<Part> {
        let file = whole::Part::go_on(&self.place.tree, whole, is_repeated)?;
        let mut part = Part::new(file, self.format, &self.schema);
        part.assembler.go_on(rows > 0);
        part.rows = rows;
        Ok(part)
    }
}

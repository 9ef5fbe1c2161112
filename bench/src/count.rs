//! Where rows leave operators that run without a job: they are counted, and nothing else.

use corelane_engine::Result;
use corelane_engine::batch::Chunk;
use corelane_engine::operator::{Context, Outlets};

/// How many rows have come out.
#[derive(Debug, Default)]
pub struct Count(pub u64);

impl Outlets for Count {
    fn sink(&mut self, _: usize, chunk: &Chunk<'_>, _: &Context<'_>) -> Result<()> {
        self.0 += chunk.rows as u64;
        Ok(())
    }
}

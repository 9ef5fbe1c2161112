//! Where rows leave operators that run without a job: they are counted, and nothing else.

use corelane_engine::Result;
use corelane_engine::batch::Chunk;
use corelane_engine::operator::{Context, Outlets, Time};

/// How many rows have come out.
#[derive(Debug, Default)]
pub struct Count(pub u64);

impl Outlets for Count {
    fn sink(&mut self, _: usize, chunk: &Chunk<'_>, _: &Context<'_>) -> Result<()> {
        self.0 += chunk.rows as u64;
        Ok(())
    }

    fn exchange(&mut self, _: usize, _: &Chunk<'_>, _: &[u64], _: &Context<'_>) -> Result<()> {
        unreachable!("a plan for one shard has no exchange")
    }

    fn exchange_watermark(&mut self, _: usize, _: Time, _: &Context<'_>) -> Result<()> {
        unreachable!("a plan for one shard has no exchange")
    }

    fn exchange_turn(&mut self, _: usize, _: &Context<'_>) -> Result<()> {
        Ok(())
    }

    fn exchange_finish(&mut self, _: usize, _: &Context<'_>) -> Result<()> {
        unreachable!("a plan for one shard has no exchange")
    }

    fn sink_watermark(&mut self, _: usize, _: Time, _: &Context<'_>) -> Result<()> {
        Ok(())
    }

    fn sink_finish(&mut self, _: usize, _: &Context<'_>) -> Result<()> {
        Ok(())
    }

    fn satisfied(&mut self, _: usize) {}
}

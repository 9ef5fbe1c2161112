//! `corelane schema FILE..`: the inferred schema as a CREATE TABLE to copy.

use clap::Parser;
use corelane_engine::Result;
use corelane_io::fs::Disk;
use corelane_io::infer::{Inferred, infer};
use corelane_io::options::ReadOptions;

/// The arguments of `schema`.
#[derive(Debug, Parser)]
#[command(name = "corelane schema", bin_name = "corelane schema", about = "Print a CREATE TABLE for files")]
pub struct SchemaFlags {
    /// Files of one table
    #[arg(required = true)]
    pub files: Vec<String>,
}

/// The statement for `files`, with its line break.
pub fn schema(files: &[String], disk: &dyn Disk) -> Result<String> {
    let inferred = infer(disk, files, &ReadOptions::default())?;
    Ok(statement(&table_name(&files[0]), &files.join(","), &inferred))
}

fn statement(name: &str, path: &str, inferred: &Inferred) -> String {
    let columns: Vec<String> =
        inferred.schema.fields.iter().map(|field| format!("  {} {}", quoted(&field.name), field.data_type)).collect();
    let mut options = vec![("path", path.to_owned()), ("header", inferred.header.to_string())];
    if inferred.dialect.delimiter != b',' {
        options.push(("delimiter", char::from(inferred.dialect.delimiter).to_string()));
    }
    let options: Vec<String> =
        options.iter().map(|(key, value)| format!("  '{key}' = '{}'", value.replace('\'', "''"))).collect();
    format!("CREATE TABLE {} (\n{}\n) WITH (\n{}\n);\n", quoted(name), columns.join(",\n"), options.join(",\n"))
}

/// The file's name up to its first dot.
fn table_name(path: &str) -> String {
    let base = path.rsplit('/').next().unwrap_or(path);
    base.split('.').find(|part| !part.is_empty()).unwrap_or("input").to_owned()
}

/// Always in back quotes: a column may be called like a key word.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use corelane_io::fs::MemoryDisk;

    #[test]
    fn the_statement_can_be_copied() {
        let disk = MemoryDisk::new().with("d/bid.1.csv", "id;first name\n1;a\n2;b\n");
        let text = schema(&["d/bid.1.csv".into()], &disk).unwrap();
        for part in
            ["CREATE TABLE `bid` (\n  `id` ", "  `first name` STRING\n", "'path' = 'd/bid.1.csv'", "'delimiter' = ';'"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}

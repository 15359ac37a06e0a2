//! Parquet files as this crate writes them: whole or not there, and sealed; and how they are read, which
//! trusts no byte of them.

use super::column::{Cell, Column, Parquet, Spec};
use super::{Exported, seal};
use crate::error::{Error, ErrorKind, Result};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{SchemaDescriptor, Type};
use std::fs::{self, File, OpenOptions};
use std::io::BufWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The key of what a file holds, and in which layout.
const KIND: &str = "devmatrix_ml.kind";

/// A row group is written when it has so many rows or bytes: it is what is held in memory.
const GROUP_ROWS: usize = 16_384;
const GROUP_BYTES: usize = 8 << 20;

/// No row group has more, and none is read that has: one row may be larger than [`GROUP_BYTES`].
const MAX_GROUP_BYTES: usize = 256 << 20;

/// A file under construction.
pub(super) struct FileWriter {
    specs: Vec<Spec>,
    columns: Vec<Column>,
    writer: SerializedFileWriter<BufWriter<File>>,
    temporary: Temporary,
    path: PathBuf,
    /// Rows and bytes that wait for their row group.
    waiting: (usize, usize),
    rows: u64,
}

impl FileWriter {
    pub(super) fn create(path: &Path, kind: &str, specs: Vec<Spec>) -> Result<Self> {
        let temporary = Temporary::beside(path)?;
        let opened = OpenOptions::new().read(true).write(true).create_new(true).open(&temporary.path);
        let file = opened.map_err(|e| unavailable("cannot be written", e).context(path.display()))?;
        let schema = schema(&specs).map_err(|e| internal(path, e))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("devmatrix-ml ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        let writer = SerializedFileWriter::new(BufWriter::new(file), Arc::new(schema), Arc::new(properties));
        let mut writer = writer.map_err(|e| internal(path, e))?;
        writer.append_key_value_metadata(KeyValue::new(KIND.to_owned(), kind.to_owned()));
        let columns = specs.iter().copied().map(Column::new).collect();
        Ok(Self { specs, columns, writer, temporary, path: path.to_owned(), waiting: (0, 0), rows: 0 })
    }

    /// Adds a pair to the file's metadata.
    pub(super) fn note(&mut self, key: &str, value: String) {
        self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: impl IntoIterator<Item = Cell>) -> Result<()> {
        let mut bytes = 0;
        let mut cells = row.into_iter();
        for column in &mut self.columns {
            bytes += column.push(cells.next().unwrap_or(Cell::Empty))?;
        }
        self.rows += 1;
        if bytes > MAX_GROUP_BYTES - GROUP_BYTES {
            return Err(Error::invalid(format!(
                "{}: row {} has {bytes} bytes, which is more than can be read back",
                self.path.display(),
                self.rows
            )));
        }
        self.waiting = (self.waiting.0 + 1, self.waiting.1 + bytes);
        if self.waiting.0 >= GROUP_ROWS || self.waiting.1 >= GROUP_BYTES {
            self.write_group()?;
        }
        Ok(())
    }

    /// Makes the file whole, durable and visible under its name.
    pub(super) fn finish(mut self, skipped: u64) -> Result<Exported> {
        if self.waiting.0 > 0 {
            self.write_group()?;
        }
        self.note(seal::KEY, seal::BLANK.to_owned());
        let path = self.path;
        let file = self
            .writer
            .into_inner()
            .and_then(|file| file.into_inner().map_err(|e| ParquetError::External(Box::new(e.into_error()))));
        let mut file = file.map_err(|e| failed(&path, e))?;
        let digest = seal::put(&mut file).map_err(|e| e.context(path.display()))?;
        let durable = file.sync_all().and_then(|()| file.metadata());
        let bytes =
            durable.map_err(|e| unavailable("cannot be made durable", e).context(path.display()))?.len();
        self.temporary.rename(&path)?;
        Ok(Exported { rows: self.rows, skipped, bytes, sha256: digest })
    }

    fn write_group(&mut self) -> Result<()> {
        let mut write = || {
            let mut group = self.writer.next_row_group()?;
            for column in &mut self.columns {
                let Some(mut to) = group.next_column()? else { break };
                column.write(&mut to)?;
                to.close()?;
            }
            group.close().map(drop)
        };
        write().map_err(|e| failed(&self.path, e))?;
        // What a group of long texts took is given back.
        self.columns = self.specs.iter().copied().map(Column::new).collect();
        self.waiting = (0, 0);
        Ok(())
    }
}

/// A file whose bytes are those that were written.
pub(super) struct FileReader {
    reader: SerializedFileReader<File>,
    specs: Vec<Spec>,
    next: usize,
    path: PathBuf,
}

/// The rows of a row group.
pub(super) struct Group {
    columns: Vec<Column>,
    /// Those that were not taken yet.
    rows: usize,
}

impl FileReader {
    pub(super) fn open(path: &Path, kind: &str, specs: Vec<Spec>) -> Result<Self> {
        Self::checked(path, kind, specs).map_err(|e| e.context(path.display()))
    }

    fn checked(path: &Path, kind: &str, specs: Vec<Spec>) -> Result<Self> {
        let mut file = File::open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(ErrorKind::NotFound, "there is no such file").with_source(e)
            }
            _ => unavailable("cannot be opened", e),
        })?;
        seal::verify(&mut file)?;
        let reader = contained(|| SerializedFileReader::new(file))?;
        let found = reader.metadata().file_metadata();
        let named = value(&reader, KIND).unwrap_or_default();
        if named != kind {
            return Err(Error::incompatible(format!("it holds {named:?}, expected {kind:?}")));
        }
        let expected = schema(&specs).map_err(|e| Error::internal("no schema").with_source(e))?;
        if !same(found.schema_descr(), &SchemaDescriptor::new(Arc::new(expected))) {
            return Err(Error::incompatible("its columns are not those of this release: export it again"));
        }
        let rows = reader.metadata().row_groups().iter().map(|g| (g.num_rows(), g.total_byte_size()));
        for (rows, bytes) in rows {
            let fits =
                (0..=GROUP_ROWS as i64).contains(&rows) && (0..=2 * MAX_GROUP_BYTES as i64).contains(&bytes);
            if !fits {
                return Err(Error::corrupt(format!("a row group of {rows} rows and {bytes} bytes")));
            }
        }
        Ok(Self { reader, specs, next: 0, path: path.to_owned() })
    }

    /// The value of a pair of the file's metadata.
    pub(super) fn noted(&self, key: &str) -> Result<&str> {
        value(&self.reader, key).ok_or_else(|| self.corrupt(&format!("it does not say {key}")))
    }

    /// The next row group.
    pub(super) fn next(&mut self) -> Result<Option<Group>> {
        if self.next >= self.reader.num_row_groups() {
            return Ok(None);
        }
        let read = || {
            let group = self.reader.get_row_group(self.next)?;
            let rows = group.metadata().num_rows() as usize;
            let column = |(i, spec): (usize, &Spec)| Column::read(*spec, group.get_column_reader(i)?, rows);
            let columns = self.specs.iter().enumerate().map(column).collect::<Parquet<_>>()?;
            Ok(Group { columns, rows })
        };
        let group = contained(read).map_err(|e| e.context(self.path.display()))?;
        self.next += 1;
        Ok(Some(group))
    }

    /// An error that names the file.
    pub(super) fn corrupt(&self, what: &str) -> Error {
        Error::corrupt(format!("{}: {what}", self.path.display()))
    }
}

impl Group {
    /// The next row.
    pub(super) fn next(&mut self) -> Option<Row<'_>> {
        self.rows = self.rows.checked_sub(1)?;
        Some(Row { columns: &mut self.columns, at: 0 })
    }
}

/// The cells of a row, to be taken in the order of the columns.
pub(super) struct Row<'a> {
    columns: &'a mut [Column],
    at: usize,
}

macro_rules! takes {
    ($($name:ident: $cell:ident($type:ty)),*) => {
        $(#[doc = "The next cell, of this type, if it is not empty."]
        pub(super) fn $name(&mut self) -> Result<Option<$type>> {
            match self.take()? {
                Cell::$cell(value) => Ok(Some(value)),
                Cell::Empty => Ok(None),
                other => Err(Error::internal(format!("column {}: unexpected {other:?}", self.at))),
            }
        })*
    };
}

impl Row<'_> {
    /// The next cell.
    pub(super) fn take(&mut self) -> Result<Cell> {
        let column =
            self.columns.get_mut(self.at).ok_or_else(|| Error::internal("a row has no more cells"))?;
        self.at += 1;
        column.take()
    }

    takes!(text: Text(String), bool: Bool(bool), int: Int(i64), double: Double(f64), float: Float(f32),
           ints: Ints(Vec<i32>), floats: Floats(Vec<f32>));
}

/// Removed when it is dropped, unless it was renamed.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    fn beside(path: &Path) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = path
            .file_name()
            .ok_or_else(|| Error::invalid(format!("{}: it names no file", path.display())))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut own = std::ffi::OsString::from(".");
        own.push(name);
        own.push(format!(".{}-{number}.tmp", std::process::id()));
        Ok(Self { path: path.with_file_name(own), renamed: false })
    }

    fn rename(mut self, to: &Path) -> Result<()> {
        fs::rename(&self.path, to).map_err(|e| unavailable("cannot be named", e).context(to.display()))?;
        self.renamed = true;
        if cfg!(unix) {
            // Without it a crash may forget the name.
            let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.map_err(|e| unavailable("cannot be made durable", e).context(to.display()))?;
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What `work` gives, or an error where it panics: the reader of Parquet is not proven against bytes whose
/// digest is right and that are nevertheless hostile.
fn contained<T>(work: impl FnOnce() -> Parquet<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Error::corrupt("it cannot be read as Parquet").with_source(error)),
        Err(_) => Err(Error::corrupt("it cannot be read as Parquet: its parts contradict each other")),
    }
}

fn value<'a>(reader: &'a SerializedFileReader<File>, key: &str) -> Option<&'a str> {
    let pairs = reader.metadata().file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
}

fn schema(specs: &[Spec]) -> Parquet<Type> {
    let fields = specs.iter().map(|spec| spec.schema().map(Arc::new)).collect::<Parquet<_>>()?;
    Type::group_type_builder("devmatrix_ml").with_fields(fields).build()
}

fn same(found: &SchemaDescriptor, expected: &SchemaDescriptor) -> bool {
    found.num_columns() == expected.num_columns()
        && found.columns().iter().zip(expected.columns()).all(|(a, b)| {
            a.path() == b.path()
                && a.physical_type() == b.physical_type()
                && a.max_def_level() == b.max_def_level()
                && a.max_rep_level() == b.max_rep_level()
        })
}

fn failed(path: &Path, error: ParquetError) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{}: writing failed", path.display())).with_source(error)
}

fn internal(path: &Path, error: ParquetError) -> Error {
    Error::internal(format!("{}: cannot be begun", path.display())).with_source(error)
}

fn unavailable(what: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, what).with_source(error)
}

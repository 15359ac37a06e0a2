//! Columns in memory: filled cell by cell and written at once, or read at once and taken cell by cell.

use crate::error::{Error, Result};
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedColumnWriter;
use parquet::schema::types::Type;
use std::sync::Arc;

/// Name and type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) holds: Holds,
    /// `true` if a cell may be empty.
    pub(super) optional: bool,
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Text,
    /// Text that is a JSON array or object.
    Json,
    Bool,
    Int,
    /// A whole number from 0 up to 2^64 - 1.
    Unsigned,
    /// Microseconds since 1970, UTC.
    Time,
    Double,
    Float,
    Ints,
    Floats,
}

/// One value of one row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Empty,
    Text(String),
    Bool(bool),
    /// Whole numbers and moments.
    Int(i64),
    Double(f64),
    Float(f32),
    Ints(Vec<i32>),
    Floats(Vec<f32>),
}

/// Some rows of a column.
#[derive(Debug)]
pub(super) struct Column {
    spec: Spec,
    data: Data,
    /// 1 where there is a value; empty where there always is one.
    present: Vec<i16>,
    /// 0 where a list begins, 1 where it goes on.
    goes_on: Vec<i16>,
    /// The level and the value to be taken next.
    at: (usize, usize),
}

#[derive(Debug)]
enum Data {
    Text(Vec<ByteArray>),
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Double(Vec<f64>),
    Float(Vec<f32>),
    Short(Vec<i32>),
}

/// Errors of the reader and the writer of Parquet.
pub(super) type Parquet<T> = std::result::Result<T, ParquetError>;

impl Spec {
    pub(super) const fn new(name: &'static str, holds: Holds) -> Self {
        Self { name, holds, optional: true }
    }

    pub(super) const fn required(name: &'static str, holds: Holds) -> Self {
        Self { name, holds, optional: false }
    }

    /// The column's part of the file's schema.
    pub(super) fn schema(&self) -> Parquet<Type> {
        let logical = match self.holds {
            Holds::Text | Holds::Json => Some(LogicalType::String),
            Holds::Unsigned => Some(LogicalType::integer(64, false)),
            Holds::Time => Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
            _ => None,
        };
        let needed = if self.optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        let leaf = |name, needed| {
            Type::primitive_type_builder(name, self.physical())
                .with_repetition(needed)
                .with_logical_type(logical.clone())
                .build()
        };
        if !self.is_list() {
            return leaf(self.name, needed);
        }
        // The three levels that the format asks of lists.
        let element = Arc::new(leaf("element", Repetition::REQUIRED)?);
        let list = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
        let list = Arc::new(list.with_fields(vec![element]).build()?);
        Type::group_type_builder(self.name)
            .with_repetition(Repetition::REQUIRED)
            .with_logical_type(Some(LogicalType::List))
            .with_fields(vec![list])
            .build()
    }

    fn is_list(&self) -> bool {
        matches!(self.holds, Holds::Ints | Holds::Floats)
    }

    fn physical(&self) -> Physical {
        match self.holds {
            Holds::Text | Holds::Json => Physical::BYTE_ARRAY,
            Holds::Bool => Physical::BOOLEAN,
            Holds::Int | Holds::Unsigned | Holds::Time => Physical::INT64,
            Holds::Double => Physical::DOUBLE,
            Holds::Float | Holds::Floats => Physical::FLOAT,
            Holds::Ints => Physical::INT32,
        }
    }
}

impl Column {
    pub(super) fn new(spec: Spec) -> Self {
        let data = match spec.physical() {
            Physical::BOOLEAN => Data::Bool(Vec::new()),
            Physical::INT64 => Data::Int(Vec::new()),
            Physical::DOUBLE => Data::Double(Vec::new()),
            Physical::FLOAT => Data::Float(Vec::new()),
            Physical::INT32 => Data::Short(Vec::new()),
            _ => Data::Text(Vec::new()),
        };
        Self { spec, data, present: Vec::new(), goes_on: Vec::new(), at: (0, 0) }
    }

    /// Adds a row; the bytes that it takes.
    pub(super) fn push(&mut self, cell: Cell) -> Result<usize> {
        let bytes = match &cell {
            Cell::Text(text) => text.len() + size_of::<ByteArray>(),
            Cell::Ints(all) => 8 * all.len(),
            Cell::Floats(all) => 8 * all.len(),
            _ => 8,
        };
        let list = match &cell {
            Cell::Ints(all) => Some(all.len()),
            Cell::Floats(all) => Some(all.len()),
            _ => None,
        };
        let empty = cell == Cell::Empty;
        match (&mut self.data, cell) {
            (_, Cell::Empty) if self.spec.optional => {}
            (Data::Text(data), Cell::Text(text)) => data.push(text.into_bytes().into()),
            (Data::Bool(data), Cell::Bool(value)) => data.push(value),
            (Data::Int(data), Cell::Int(value)) => data.push(value),
            (Data::Double(data), Cell::Double(value)) => data.push(value),
            (Data::Float(data), Cell::Float(value)) => data.push(value),
            (Data::Float(data), Cell::Floats(values)) if list.is_some() => data.extend(values),
            (Data::Short(data), Cell::Ints(values)) => data.extend(values),
            (_, cell) => return Err(Error::internal(format!("{}: no place for {cell:?}", self.spec.name))),
        }
        match list {
            Some(0) => {
                self.present.push(0);
                self.goes_on.push(0);
            }
            Some(length) => {
                self.present.extend(std::iter::repeat_n(1, length));
                self.goes_on.extend((0..length).map(|i| i16::from(i > 0)));
            }
            None if self.spec.optional => self.present.push(i16::from(!empty)),
            None => {}
        }
        Ok(bytes)
    }

    /// Writes all rows and forgets them.
    pub(super) fn write(&mut self, to: &mut SerializedColumnWriter<'_>) -> Parquet<()> {
        let present = (self.spec.optional || self.spec.is_list()).then_some(self.present.as_slice());
        let goes_on = self.spec.is_list().then_some(self.goes_on.as_slice());
        macro_rules! write {
            ($type:ty, $data:expr) => {{
                to.typed::<$type>().write_batch($data, present, goes_on)?;
                $data.clear();
            }};
        }
        match &mut self.data {
            Data::Text(data) => write!(ByteArrayType, data),
            Data::Bool(data) => write!(BoolType, data),
            Data::Int(data) => write!(Int64Type, data),
            Data::Double(data) => write!(DoubleType, data),
            Data::Float(data) => write!(FloatType, data),
            Data::Short(data) => write!(Int32Type, data),
        }
        self.present.clear();
        self.goes_on.clear();
        Ok(())
    }

    /// The next `rows` rows of a file.
    pub(super) fn read(spec: Spec, from: ColumnReader, rows: usize) -> Parquet<Self> {
        let mut column = Self::new(spec);
        let levels = (spec.optional || spec.is_list(), spec.is_list());
        let (present, goes_on) = (&mut column.present, &mut column.goes_on);
        let read = match (&mut column.data, from) {
            (Data::Text(data), ColumnReader::ByteArrayColumnReader(from)) => {
                read(from, rows, levels, (present, goes_on), data)?
            }
            (Data::Bool(data), ColumnReader::BoolColumnReader(from)) => {
                read(from, rows, levels, (present, goes_on), data)?
            }
            (Data::Int(data), ColumnReader::Int64ColumnReader(from)) => {
                read(from, rows, levels, (present, goes_on), data)?
            }
            (Data::Double(data), ColumnReader::DoubleColumnReader(from)) => {
                read(from, rows, levels, (present, goes_on), data)?
            }
            (Data::Float(data), ColumnReader::FloatColumnReader(from)) => {
                read(from, rows, levels, (present, goes_on), data)?
            }
            (Data::Short(data), ColumnReader::Int32ColumnReader(from)) => {
                read(from, rows, levels, (present, goes_on), data)?
            }
            _ => return Err(ParquetError::General(format!("{}: not of its type", spec.name))),
        };
        if read != rows {
            return Err(ParquetError::General(format!("{}: {read} rows of {rows}", spec.name)));
        }
        Ok(column)
    }

    /// Takes the next row's cell.
    pub(super) fn take(&mut self) -> Result<Cell> {
        if self.spec.is_list() {
            return self.take_list();
        }
        if self.spec.optional {
            let present = self.present.get(self.at.0).copied();
            self.at.0 += 1;
            match present {
                Some(0) => return Ok(Cell::Empty),
                Some(1) => {}
                _ => return Err(self.short()),
            }
        }
        let at = self.at.1;
        self.at.1 += 1;
        let cell = match &mut self.data {
            Data::Text(data) => {
                let bytes = data.get_mut(at).map(std::mem::take).ok_or_else(|| short(&self.spec))?;
                // The bytes of a page are shared: only those of this cell are copied.
                let text = std::str::from_utf8(bytes.data());
                let name = self.spec.name;
                Some(Cell::Text(
                    text.map_err(|e| Error::corrupt(format!("{name} is no text")).with_source(e))?.to_owned(),
                ))
            }
            Data::Bool(data) => data.get(at).copied().map(Cell::Bool),
            Data::Int(data) => data.get(at).copied().map(Cell::Int),
            Data::Double(data) => data.get(at).copied().map(Cell::Double),
            Data::Float(data) => data.get(at).copied().map(Cell::Float),
            Data::Short(_) => None,
        };
        cell.ok_or_else(|| self.short())
    }

    fn take_list(&mut self) -> Result<Cell> {
        let rest =
            self.goes_on.get(self.at.0..).filter(|rest| !rest.is_empty()).ok_or_else(|| self.short())?;
        let levels = 1 + rest[1..].iter().take_while(|level| **level == 1).count();
        let present = self.present.get(self.at.0..self.at.0 + levels).ok_or_else(|| self.short())?;
        let length = present.iter().filter(|level| **level == 1).count();
        let (from, to) = (self.at.1, self.at.1 + length);
        self.at = (self.at.0 + levels, to);
        let cell = match &self.data {
            Data::Short(data) => data.get(from..to).map(|all| Cell::Ints(all.to_vec())),
            Data::Float(data) => data.get(from..to).map(|all| Cell::Floats(all.to_vec())),
            _ => None,
        };
        cell.ok_or_else(|| self.short())
    }

    fn short(&self) -> Error {
        short(&self.spec)
    }
}

fn short(spec: &Spec) -> Error {
    Error::corrupt(format!("{}: a value is missing", spec.name))
}

/// Reads until there are `rows` rows or no more; how many there are.
fn read<T: DataType>(
    mut from: ColumnReaderImpl<T>,
    rows: usize,
    (optional, list): (bool, bool),
    (present, goes_on): (&mut Vec<i16>, &mut Vec<i16>),
    data: &mut Vec<T::T>,
) -> Parquet<usize> {
    let mut done = 0;
    while done < rows {
        let present = optional.then_some(&mut *present);
        let goes_on = list.then_some(&mut *goes_on);
        let (read, _, _) = from.read_records(rows - done, present, goes_on, data)?;
        if read == 0 {
            break;
        }
        done += read;
    }
    Ok(done)
}

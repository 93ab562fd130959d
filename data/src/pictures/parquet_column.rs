//! A column of byte arrays in a parquet file, row by row.

use std::{fs::File, path::Path};

use parquet::{
    basic::Type,
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, ByteArrayType},
    errors::{ParquetError, Result},
    file::{
        metadata::RowGroupMetaData,
        reader::{FileReader, SerializedFileReader},
    },
    schema::types::ColumnDescriptor,
};

/// A place in a column; what was read is let go of page by page.
pub(crate) struct Column {
    file: SerializedFileReader<File>,
    column: usize,
    /// A value that is not null has this definition level.
    value_level: i16,
    next_group: usize,
    /// The row group that is being read.
    group: Option<ColumnReaderImpl<ByteArrayType>>,
}

impl Column {
    /// The first row of the byte arrays that `find` tells from other columns by their path; none if there are none.
    pub fn open(path: &Path, find: impl Fn(&[String]) -> bool) -> Result<Option<Self>> {
        let file = open(path)?;
        let columns = file.metadata().file_metadata().schema_descr().columns();
        let is_found = |column: &&(usize, &std::sync::Arc<ColumnDescriptor>)| {
            column.1.physical_type() == Type::BYTE_ARRAY && find(column.1.path().parts())
        };
        let found = columns.iter().enumerate().collect::<Vec<_>>();
        let found = found.iter().find(is_found).map(|(column, descriptor)| (*column, descriptor.max_def_level()));
        Ok(found.map(|(column, value_level)| Column { file, column, value_level, next_group: 0, group: None }))
    }

    /// The values of the next rows: one, none for null, or those of a list. Fewer rows at the end.
    pub fn read(&mut self, rows: usize) -> Result<Vec<Vec<ByteArray>>> {
        let mut found = Vec::new();
        while found.len() < rows && self.enter_group()? {
            let Some(group) = &mut self.group else { break };
            let (mut levels, mut repetitions, mut values) = (Vec::new(), Vec::new(), Vec::new());
            let missing = rows - found.len();
            let (records, ..) = group.read_records(missing, Some(&mut levels), Some(&mut repetitions), &mut values)?;
            if records == 0 {
                self.group = None;
            }
            // Columns that are never null, or no lists, have no such levels.
            let slots = if levels.is_empty() { values.len() } else { levels.len() };
            let mut values = values.into_iter();
            for slot in 0..slots {
                if repetitions.get(slot).is_none_or(|repetition| *repetition == 0) {
                    found.push(Vec::new());
                }
                if levels.get(slot).is_none_or(|level| *level == self.value_level)
                    && let Some(row) = found.last_mut()
                {
                    row.extend(values.next());
                }
            }
        }
        Ok(found)
    }

    /// Passes over rows; row groups among them are not read.
    pub fn skip(&mut self, mut rows: usize) -> Result<()> {
        while rows > 0 {
            let groups = self.file.metadata().row_groups();
            let of_group = groups.get(self.next_group).map_or(0, |group| group.num_rows().max(0) as usize);
            if self.group.is_none() && self.next_group < groups.len() && of_group <= rows {
                (rows, self.next_group) = (rows - of_group, self.next_group + 1);
            } else if !self.enter_group()? {
                break;
            } else if let Some(group) = &mut self.group {
                match group.skip_records(rows)? {
                    0 => self.group = None,
                    skipped => rows -= skipped,
                }
            }
        }
        Ok(())
    }

    /// Whether there is a row group to read from.
    fn enter_group(&mut self) -> Result<bool> {
        if self.group.is_none() && self.next_group < self.file.num_row_groups() {
            let reader = self.file.get_row_group(self.next_group)?.get_column_reader(self.column)?;
            let ColumnReader::ByteArrayColumnReader(group) = reader else {
                return Err(ParquetError::General("row groups have columns of different types".to_owned()));
            };
            (self.group, self.next_group) = (Some(group), self.next_group + 1);
        }
        Ok(self.group.is_some())
    }
}

/// Opens a file whose columns lie in it: the library takes their places for true and panics where they are not.
fn open(path: &Path) -> Result<SerializedFileReader<File>> {
    let input = File::open(path)?;
    let length = input.metadata()?.len() as i64;
    let file = SerializedFileReader::new(input)?;
    for column in file.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
        let end = start.checked_add(column.compressed_size());
        if start < 0 || column.compressed_size() < 0 || end.is_none_or(|end| end > length) {
            let name = column.column_path().string();
            return Err(ParquetError::General(format!("its column '{name}' does not lie inside of the file")));
        }
    }
    Ok(file)
}

/// Names of a file's columns.
pub(crate) fn names(path: &Path) -> Result<Vec<String>> {
    let file = open(path)?;
    let root = file.metadata().file_metadata().schema_descr().root_schema();
    Ok(root.get_fields().iter().map(|field| field.name().to_owned()).collect())
}

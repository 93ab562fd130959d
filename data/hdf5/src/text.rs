//! Text attributes.

use hdf5_metno::{
    Location, Result,
    types::{FixedAscii, FixedUnicode, TypeDescriptor, VarLenAscii, VarLenUnicode},
};

/// More bytes than this do not fit into one attribute.
pub const MAX_TEXT: usize = 60 << 10;

/// Writes a UTF-8 attribute of fixed length, on which libhdf5 keeps a checksum (format of 1.10 and later); of variable
/// length it would have none.
///
/// # Errors
/// A text above [`MAX_TEXT`] bytes or with a zero byte; libhdf5's.
pub fn write_text(location: &Location, name: &str, text: &str) -> Result<()> {
    // A fixed string ends at its last byte that is not zero; HDF5 knows no length 0.
    let stored = TypeDescriptor::FixedUnicode(text.len().max(1));
    let text: FixedUnicode<MAX_TEXT> = text.parse().map_err(|error| format!("attribute '{name}': {error}"))?;
    location.new_attr_builder().empty_as(&stored).create(name)?.write_scalar(&text)
}

/// Reads a string attribute of any kind (HDF5 converts none into another); bytes that are not UTF-8 become replacement
/// characters.
///
/// # Errors
/// No such attribute, another type; libhdf5's.
pub fn read_text(location: &Location, name: &str) -> Result<String> {
    let attribute = location.attr(name)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(match attribute.dtype()?.to_descriptor()? {
        TypeDescriptor::VarLenUnicode => text(attribute.read_scalar::<VarLenUnicode>()?.as_bytes()),
        TypeDescriptor::VarLenAscii => text(attribute.read_scalar::<VarLenAscii>()?.as_bytes()),
        TypeDescriptor::FixedAscii(_) => text(attribute.read_scalar::<FixedAscii<MAX_TEXT>>()?.as_bytes()),
        _ => text(attribute.read_scalar::<FixedUnicode<MAX_TEXT>>()?.as_bytes()),
    })
}

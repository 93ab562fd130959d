//! Names of parameters.

use std::fmt;

/// Where a leaf sits in a tree: `blocks/*/attn/qkv/weight`.
///
/// One path names a parameter in HDF5 files, errors, StableHLO locations and weight-decay masks. `*` marks a stacked
/// dim (DESIGN.md 6): the first dim of that parameter runs over the layers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamPath(String);

impl ParamPath {
    /// The path of the whole tree.
    pub fn root() -> Self {
        ParamPath::default()
    }

    /// This path with one more segment.
    pub fn join(&self, segment: impl fmt::Display) -> Self {
        if self.0.is_empty() { ParamPath(segment.to_string()) } else { ParamPath(format!("{}/{segment}", self.0)) }
    }

    /// The text, segments separated by `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment: `weight`.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for ParamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for ParamPath {
    fn from(text: &str) -> Self {
        ParamPath(text.to_owned())
    }
}

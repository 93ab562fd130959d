//! Names of parameters.

use std::fmt;

/// Where a leaf sits in a tree: `blocks/*/attn/qkv/weight`.
///
/// One path names a parameter in HDF5 files, errors, StableHLO locations and rules. A segment `*` marks a stacked dim:
/// the first dim of that parameter runs over the layers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamPath(String);

impl ParamPath {
    /// The path of the whole tree.
    pub fn root() -> Self {
        ParamPath::default()
    }

    /// This path with more segments, separated by `/`; with none, if there are none.
    pub fn join(&self, segments: impl fmt::Display) -> Self {
        let segments = segments.to_string();
        match (self.0.is_empty(), segments.is_empty()) {
            (true, _) => ParamPath(segments),
            (_, true) => self.clone(),
            _ => ParamPath(format!("{}/{segments}", self.0)),
        }
    }

    /// Segments separated by `/`; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment, as `weight`.
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

//! Where a leaf sits in a tree, and where others keep what it holds.

use std::fmt;

use crate::{ArrayError, HostArray, Layout, ParamPath, TensorType};

/// A leaf's path, the names of the tensors that hold it in other programs' files, and their layout there.
///
/// Names differ from the path only where `#[tree(external = "..")]` says so. A segment `*` stands for a stacked layer's
/// number, in the path and in every name: layer i of the leaf is a tensor of its own there, numbered from 0 or from
/// where `#[tree(first = "..")]` says. Several names are the parts of a join along the last dim, in equal shares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    path: ParamPath,
    /// `None`: the path, with dots.
    external: Option<Vec<String>>,
    /// For each star, the number elsewhere of the first layer.
    first: Vec<usize>,
    layout: Layout,
}

impl Place {
    /// The place of the whole tree.
    pub fn root() -> Self {
        Place::default()
    }

    /// The place of a field, of any number of segments: none if `name` is empty.
    pub fn new(name: impl fmt::Display) -> Self {
        let path = ParamPath::root().join(name);
        Place { first: vec![0; stars(path.as_str().split('/'))], path, ..Place::default() }
    }

    /// With another name elsewhere: segments separated by dots, the names of a join by `+`; empty for no segment.
    pub fn with_external(self, external: &str) -> Self {
        Place { external: Some(external.split('+').map(str::to_owned).collect()), ..self }
    }

    /// With stacked layers whose numbers elsewhere begin at `first`: one of several stacks that share a numbering.
    pub fn with_first(self, first: usize) -> Self {
        Place { first: vec![first; self.first.len()], ..self }
    }

    /// With another layout elsewhere.
    pub fn with_layout(self, layout: Layout) -> Self {
        Place { layout, ..self }
    }

    /// The place `below` this one.
    pub fn join(&self, below: &Place) -> Self {
        let external = (self.external.is_some() || below.external.is_some()).then(|| {
            let (above, below) = (self.external(), below.external());
            above.iter().flat_map(|above| below.iter().map(move |below| dotted(above, below))).collect()
        });
        let layout = if below.layout == Layout::Same { self.layout } else { below.layout };
        let first = [&self.first[..], &below.first].concat();
        Place { path: self.path.join(&below.path), external, first, layout }
    }

    /// The leaf's name in this program.
    pub fn path(&self) -> &ParamPath {
        &self.path
    }

    /// The names elsewhere, several for a join; `*` stands for a layer's number.
    pub fn external(&self) -> Vec<String> {
        self.external.clone().unwrap_or_else(|| vec![self.path.as_str().replace('/', ".")])
    }

    /// The layout elsewhere of each part.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The tensors that hold a leaf of type `ty` elsewhere, with their types: layer by layer, within a layer the parts of
    /// a join.
    ///
    /// # Errors
    /// [`ArrayError::Place`] or [`ArrayError::Layout`] if the leaf's dims do not fit its place.
    pub fn external_types(&self, ty: &TensorType) -> Result<Vec<(String, TensorType)>, ArrayError> {
        let parts = Parts::new(self, ty)?;
        let external = self.layout.external_type(&parts.ty)?;
        Ok(parts.names.into_iter().map(|name| (name, external.clone())).collect())
    }

    /// The leaf as the tensors that others hold, in the order of [`Place::external_types`].
    ///
    /// # Errors
    /// As [`Place::external_types`].
    pub fn to_external(&self, leaf: &HostArray) -> Result<Vec<(String, HostArray)>, ArrayError> {
        let parts = Parts::new(self, leaf.ty())?;
        let external = |(i, name): (usize, &String)| {
            let mut part = HostArray::zeros(parts.ty.clone());
            parts.rows_of(i).zip(part.bytes_mut().chunks_exact_mut(parts.row)).for_each(|(at, row)| {
                row.copy_from_slice(&leaf.bytes()[at..at + parts.row]);
            });
            Ok((name.clone(), self.layout.to_external(&part)?))
        };
        parts.names.iter().enumerate().map(external).collect()
    }

    /// The leaf of type `ty` from the tensors that others hold: `read` gives each by name, of the type that it is told.
    ///
    /// # Errors
    /// As [`Place::external_types`], and those of `read`.
    pub fn from_external<E: From<ArrayError>>(
        &self,
        ty: &TensorType,
        mut read: impl FnMut(&str, &TensorType) -> Result<HostArray, E>,
    ) -> Result<HostArray, E> {
        let parts = Parts::new(self, ty)?;
        let external = self.layout.external_type(&parts.ty)?;
        let mut leaf = HostArray::zeros(ty.clone());
        for (i, name) in parts.names.iter().enumerate() {
            let part = read(name, &external)?;
            if *part.ty() != external {
                let rule = format!("'{name}' is {}, not {external}", part.ty());
                return Err(ArrayError::Place { path: self.path.clone(), ty: ty.clone(), rule }.into());
            }
            let part = self.layout.from_external(&part)?;
            parts.rows_of(i).zip(part.bytes().chunks_exact(parts.row)).for_each(|(at, row)| {
                leaf.bytes_mut()[at..at + parts.row].copy_from_slice(row);
            });
        }
        Ok(leaf)
    }
}

impl From<&ParamPath> for Place {
    fn from(path: &ParamPath) -> Self {
        Place::new(path)
    }
}

/// How a leaf falls into the tensors of others.
struct Parts {
    names: Vec<String>,
    /// Of one part, in the layout here.
    ty: TensorType,
    /// Parts of a join.
    joined: usize,
    /// Bytes of a part that lie together in the leaf: its last dim, or all of it without a join.
    row: usize,
    rows: usize,
}

impl Parts {
    fn new(place: &Place, ty: &TensorType) -> Result<Self, ArrayError> {
        let refuse = |rule: String| ArrayError::Place { path: place.path.clone(), ty: ty.clone(), rule };
        let (external, stars) = (place.external(), stars(place.path.as_str().split('/')));
        if stars > ty.shape.rank() || external.iter().any(|name| self::stars(name.split('.')) != stars) {
            return Err(refuse(format!("its {stars} stacked dims do not fit the name {}", external.join("+"))));
        }
        let (stacked, rest) = ty.shape.split_at(stars);
        let (mut shape, joined) = (rest.to_vec(), external.len());
        match shape.last_mut() {
            Some(last) if last.is_multiple_of(joined) => *last /= joined,
            None if joined == 1 => {}
            _ => return Err(refuse(format!("its last dim has no {joined} equal parts"))),
        }
        let part = ty.with_shape(shape);
        let last = part.shape.last().copied().unwrap_or(1);
        let row = if joined == 1 { part.bytes() } else { last * ty.dtype.size() }.max(1);
        Ok(Parts { names: numbered(&external, stacked, &place.first), joined, row, rows: part.bytes() / row, ty: part })
    }

    /// Where the rows of part `i` begin in the leaf, in bytes.
    fn rows_of(&self, i: usize) -> impl Iterator<Item = usize> {
        let (layer, part) = (i / self.joined, i % self.joined);
        let (row, rows, joined) = (self.row, self.rows, self.joined);
        (0..rows).map(move |k| ((layer * rows + k) * joined + part) * row)
    }
}

fn stars<'a>(segments: impl Iterator<Item = &'a str>) -> usize {
    segments.filter(|segment| *segment == "*").count()
}

/// The names with the numbers of every layer, from the first, in place of their stars, layer by layer.
fn numbered(names: &[String], stacked: &[usize], first: &[usize]) -> Vec<String> {
    let (Some((&depth, inner)), Some((&start, inner_first))) = (stacked.split_first(), first.split_first()) else {
        return names.to_vec();
    };
    let layer = |i: usize| {
        let number = i.to_string();
        let name = |name: &String| {
            let mut is_outermost = true;
            let segments = name.split('.').map(|segment| match segment {
                "*" if std::mem::take(&mut is_outermost) => number.as_str(),
                other => other,
            });
            segments.collect::<Vec<_>>().join(".")
        };
        numbered(&names.iter().map(name).collect::<Vec<_>>(), inner, inner_first)
    };
    (start..start + depth).flat_map(layer).collect()
}

fn dotted(above: &str, below: &str) -> String {
    let dot = if above.is_empty() || below.is_empty() { "" } else { "." };
    format!("{above}{dot}{below}")
}

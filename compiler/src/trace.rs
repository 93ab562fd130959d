//! The tracer: runs a Rust function on handles and records what it applies to them.
//!
//! A [`Trace`] holds a stack of graphs: the outermost function and, while a body (scan, while, remat) is traced, the
//! body's own. Operations go to the graph on top; an operand from a graph below becomes an input of the body (closure
//! conversion). A type error unwinds to the border ([`trace`]), so that model code reads as mathematics.

use std::{
    cell::RefCell,
    collections::HashMap,
    panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind},
    sync::Arc,
};

use twinflow_array::{DType, Leaf, ParamPath, Place, Shape, TensorType, Tree};

use crate::{
    error::{TraceError, TraceErrorKind, show_location},
    primitive::Op,
    program::{Instruction, Program, ValueId},
};

/// A handle to a value of a [`Trace`]: `Copy`, and bound to the trace's lifetime so that it cannot leave.
#[derive(Clone, Copy)]
pub struct Tensor<'t> {
    trace: &'t Trace,
    graph: usize,
    pub(crate) value: ValueId,
}

impl Leaf for Tensor<'_> {}

/// The record of a function being traced.
pub struct Trace {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    graphs: Vec<Graph>,
    /// Indices of the graphs under construction, outermost first.
    open: Vec<usize>,
    scope: Arc<str>,
    /// What products are multiplied in, if not in their operands' type.
    compute: Option<DType>,
    /// While a derivative rule records: the source line of what is derived.
    deriving: Option<&'static Location<'static>>,
}

#[derive(Default)]
struct Graph {
    program: Program,
    /// Values of outer graphs that the body uses, and the inputs that stand for them.
    captures: Vec<(usize, ValueId, ValueId)>,
    capture_of: HashMap<(usize, ValueId), ValueId>,
}

impl Graph {
    fn add_value(&mut self, ty: TensorType) -> ValueId {
        self.program.types.push(ty);
        ValueId(self.program.types.len() as u32 - 1)
    }

    fn add_input(&mut self, ty: TensorType) -> ValueId {
        let value = self.add_value(ty);
        self.program.inputs.push(value);
        value
    }
}

/// A traced body and the outer tensors that it uses, which are its last inputs.
pub(crate) struct Body<'t> {
    pub program: Program,
    pub captures: Vec<Tensor<'t>>,
}

/// Traces `f`: gives it a fresh [`Trace`] and returns what it recorded.
///
/// # Errors
/// The first operation whose operands do not fit, with the model's source line and module path.
pub fn trace<R>(f: impl for<'t> FnOnce(&'t Trace) -> R) -> Result<(Program, R), TraceError> {
    let trace =
        Trace { state: RefCell::new(State { graphs: vec![Graph::default()], open: vec![0], ..State::default() }) };
    match catch_unwind(AssertUnwindSafe(|| f(&trace))) {
        Ok(result) => {
            let program = trace.state.into_inner().graphs.swap_remove(0).program;
            Ok((program, result))
        }
        Err(payload) => match payload.downcast::<TraceError>() {
            Ok(error) => Err(*error),
            Err(payload) => resume_unwind(payload),
        },
    }
}

impl Trace {
    /// A parameter of the function.
    pub fn input(&self, path: &ParamPath, ty: TensorType) -> Tensor<'_> {
        let mut state = self.state.borrow_mut();
        let graph = state.top();
        let value = state.graphs[graph].add_input(ty);
        state.graphs[graph].program.input_names.push(path.clone());
        Tensor { trace: self, graph, value }
    }

    /// A parameter for each leaf of a tree of types, named by its path below `name`.
    pub fn inputs<'t, T: Tree<Leaf = TensorType>>(&'t self, name: &str, types: &T) -> T::Rebind<Tensor<'t>> {
        types.map_leaves(&Place::new(name), &mut |place, ty| self.input(place.path(), ty.clone()))
    }

    /// Makes each leaf a result of the function, named by its path below `name`; returns the types.
    #[track_caller]
    pub fn outputs<'t, T: Tree<Leaf = Tensor<'t>>>(&'t self, name: &str, tree: &T) -> T::Rebind<TensorType> {
        let location = Location::caller();
        tree.map_leaves(&Place::new(name), &mut |place, tensor| {
            let tensor = self.localize_at(*tensor, location);
            let mut state = self.state.borrow_mut();
            let program = &mut state.graphs[tensor.graph].program;
            program.outputs.push(tensor.value);
            program.output_names.push(place.path().clone());
            program.ty(tensor.value).clone()
        })
    }

    /// Allows the results to overwrite the inputs made so far.
    pub fn donate_inputs(&self) {
        let mut state = self.state.borrow_mut();
        let top = state.top();
        let program = &mut state.graphs[top].program;
        program.donated = program.inputs.len();
    }

    /// Names what `f` records: scopes nest to a module path, which errors, listings and profiles show.
    pub fn scope<R>(&self, name: &str, f: impl FnOnce() -> R) -> R {
        let outer = self.state.borrow().scope.clone();
        let inner: Arc<str> = if outer.is_empty() { name.into() } else { format!("{outer}/{name}").into() };
        self.state.borrow_mut().scope = inner;
        let result = f();
        self.state.borrow_mut().scope = outer;
        result
    }

    /// Multiplies in `dtype` what `f` records of matrix products and convolutions, and sums in their operands' type; with
    /// `None` both are done in the operands' type. It nests like [`Trace::scope`] and holds in the bodies of loops.
    /// Derivatives are taken in what the product itself was taken in.
    pub fn compute_in<R>(&self, dtype: Option<DType>, f: impl FnOnce() -> R) -> R {
        let outer = std::mem::replace(&mut self.state.borrow_mut().compute, dtype);
        let result = f();
        self.state.borrow_mut().compute = outer;
        result
    }

    /// The type in effect by [`Trace::compute_in`].
    pub(crate) fn compute(&self) -> Option<DType> {
        self.state.borrow().compute
    }

    /// Runs a derivative rule: what it records, and its errors, carry scope and source line of what it derives.
    pub(crate) fn deriving<R>(&self, instruction: &Instruction, rule: impl FnOnce() -> R) -> R {
        let enter = |scope, location| {
            let mut state = self.state.borrow_mut();
            (std::mem::replace(&mut state.scope, scope), std::mem::replace(&mut state.deriving, location))
        };
        let (scope, location) = enter(instruction.scope.clone(), Some(instruction.location));
        let result = rule();
        enter(scope, location);
        result
    }

    /// Whether a tensor is a value of the open graph (and not of one around it).
    pub(crate) fn is_open(&self, tensor: Tensor<'_>) -> bool {
        self.state.borrow().top() == tensor.graph
    }

    /// Stops tracing with an error of the model's own: a configuration or an input that it cannot work with.
    #[track_caller]
    pub fn fail(&self, operation: &str, message: impl Into<String>) -> ! {
        self.raise(TraceErrorKind::Model(message.into()), operation, &[], Location::caller())
    }

    /// Applies an operation in the open graph.
    #[track_caller]
    pub(crate) fn record<'t>(&'t self, op: Arc<dyn Op>, operands: &[Tensor<'t>]) -> Vec<Tensor<'t>> {
        let (scope, deriving) = {
            let state = self.state.borrow();
            (state.scope.clone(), state.deriving)
        };
        self.record_in(&scope, op, operands, deriving.unwrap_or(Location::caller()))
    }

    /// Applies an operation in the open graph under a given scope and source line (for replays).
    pub(crate) fn record_in<'t>(
        &'t self,
        scope: &Arc<str>,
        op: Arc<dyn Op>,
        operands: &[Tensor<'t>],
        location: &'static Location<'static>,
    ) -> Vec<Tensor<'t>> {
        let operands: Vec<ValueId> =
            operands.iter().map(|&operand| self.localize_at(operand, location).value).collect();
        let mut state = self.state.borrow_mut();
        let top = state.top();
        let graph = &mut state.graphs[top];
        let types: Vec<TensorType> = operands.iter().map(|&value| graph.program.ty(value).clone()).collect();
        let inferred = op.infer(&types);
        match inferred {
            Ok(result_types) => {
                let results: Vec<ValueId> = result_types.into_iter().map(|ty| graph.add_value(ty)).collect();
                let tensors = results.iter().map(|&value| Tensor { trace: self, graph: top, value }).collect();
                let scope = scope.clone();
                graph.program.instructions.push(Instruction { op, operands, results, scope, location });
                tensors
            }
            Err(error) => {
                drop(state);
                self.raise(error.into(), op.name(), &types, location)
            }
        }
    }

    /// Traces a body in a graph of its own: its inputs are `inputs`, then the outer tensors that it uses.
    #[track_caller]
    pub(crate) fn body<'t>(
        &'t self,
        inputs: &[TensorType],
        f: impl FnOnce(Vec<Tensor<'t>>) -> Vec<Tensor<'t>>,
    ) -> Body<'t> {
        let location = Location::caller();
        let graph = {
            let mut state = self.state.borrow_mut();
            state.graphs.push(Graph::default());
            let graph = state.graphs.len() - 1;
            state.open.push(graph);
            graph
        };
        let params = inputs
            .iter()
            .map(|ty| {
                let value = self.state.borrow_mut().graphs[graph].add_input(ty.clone());
                Tensor { trace: self, graph, value }
            })
            .collect();
        let outputs = f(params).into_iter().map(|tensor| self.localize_at(tensor, location).value).collect();
        let mut state = self.state.borrow_mut();
        state.open.pop();
        let body = std::mem::take(&mut state.graphs[graph]);
        let captures = body.captures.iter().map(|&(graph, value, _)| Tensor { trace: self, graph, value }).collect();
        Body { program: Program { outputs, ..body.program }, captures }
    }

    /// How many instructions the open graph holds: the beginning of a tape.
    pub(crate) fn mark(&self) -> usize {
        let state = self.state.borrow();
        state.graphs[state.top()].program.instructions.len()
    }

    /// The instruction at `index` of the open graph, with handles to its values.
    pub(crate) fn equation(&self, index: usize) -> (Instruction, Vec<Tensor<'_>>, Vec<Tensor<'_>>) {
        let state = self.state.borrow();
        let graph = state.top();
        let instruction = state.graphs[graph].program.instructions[index].clone();
        let handles = |values: &[ValueId]| values.iter().map(|&value| Tensor { trace: self, graph, value }).collect();
        let (operands, results) = (handles(&instruction.operands), handles(&instruction.results));
        (instruction, operands, results)
    }

    /// Puts `op` in place of the operation at `index`; it gives the same results and then more of these types.
    pub(crate) fn extend_instruction(&self, index: usize, op: Arc<dyn Op>, more: Vec<TensorType>) {
        let mut state = self.state.borrow_mut();
        let top = state.top();
        let graph = &mut state.graphs[top];
        let results: Vec<ValueId> = more.into_iter().map(|ty| graph.add_value(ty)).collect();
        let instruction = &mut graph.program.instructions[index];
        instruction.op = op;
        instruction.results.extend(results);
    }

    /// Stops with an error: unwinds to [`trace`], past the panic hook.
    pub(crate) fn raise(
        &self,
        kind: TraceErrorKind,
        operation: &str,
        operands: &[TensorType],
        location: &Location<'_>,
    ) -> ! {
        let state = self.state.borrow();
        let scope = state.scope.to_string();
        let location = show_location(state.deriving.unwrap_or(location));
        drop(state);
        let error = TraceError { kind, operation: operation.to_owned(), operands: operands.to_vec(), location, scope };
        resume_unwind(Box::new(error))
    }

    /// The tensor as a value of the open graph: itself, or the input that stands for an outer value.
    fn localize_at<'t>(&'t self, tensor: Tensor<'t>, location: &Location<'_>) -> Tensor<'t> {
        if !std::ptr::eq(self, tensor.trace) {
            self.raise(TraceErrorKind::OtherTrace, "use of a tensor", &[], location);
        }
        let found = {
            let mut state = self.state.borrow_mut();
            let open = state.open.clone();
            let level = open.iter().position(|&graph| graph == tensor.graph);
            level.map(|level| {
                open[level + 1..]
                    .iter()
                    .fold((tensor.graph, tensor.value), |outer, &inner| (inner, state.capture(outer, inner)))
            })
        };
        match found {
            Some((graph, value)) => Tensor { trace: self, graph, value },
            None => self.raise(TraceErrorKind::Leaked, "use of a tensor", &[], location),
        }
    }
}

impl State {
    fn top(&self) -> usize {
        *self.open.last().expect("the outermost graph stays open")
    }

    /// The input of `inner` that stands for the value `outer` of the graph around it.
    fn capture(&mut self, outer: (usize, ValueId), inner: usize) -> ValueId {
        if let Some(&value) = self.graphs[inner].capture_of.get(&outer) {
            return value;
        }
        let ty = self.graphs[outer.0].program.ty(outer.1).clone();
        let graph = &mut self.graphs[inner];
        let value = graph.add_input(ty);
        graph.captures.push((outer.0, outer.1, value));
        graph.capture_of.insert(outer, value);
        value
    }
}

impl<'t> Tensor<'t> {
    /// The trace that this tensor belongs to.
    pub fn trace(self) -> &'t Trace {
        self.trace
    }

    /// Element type and shape.
    pub fn ty(self) -> TensorType {
        self.trace.state.borrow().type_of(self)
    }

    /// The dims.
    pub fn shape(self) -> Shape {
        self.ty().shape
    }

    /// The element type.
    pub fn dtype(self) -> DType {
        self.ty().dtype
    }

    /// The number of dims.
    pub fn rank(self) -> usize {
        self.shape().rank()
    }
}

impl State {
    fn type_of(&self, tensor: Tensor<'_>) -> TensorType {
        // A closed body's graph was taken away: its handles have no type any more and fail when they are used.
        let types = &self.graphs[tensor.graph].program.types;
        types.get(tensor.value.index()).cloned().unwrap_or(TensorType::scalar(DType::F32))
    }
}

impl std::fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "%{}: {}", self.value.index(), self.ty())
    }
}

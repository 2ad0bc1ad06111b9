//! A module that traps when it is told to: the one that `make wasm` built, with something between it and its host.
//!
//! Every import of the proxy-wasm ABI gets a wrapper, and all that named the import names the wrapper. Once a VM has read
//! a header whose value is [`LEAST`]` + n` bytes long, it traps after the n-th host call from there on, at whatever that
//! call returned to: the code in between, and all that it left half done, is the module's own.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Function, FunctionSection, GlobalSection, GlobalType,
    InstructionSink, MemArg, MemArgTarget, Module, ValType,
};
use wasmparser::{
    CodeSectionReader, FuncType, FunctionSectionReader, GlobalSectionReader, Parser, Payload,
    TypeRef,
};

/// The length of a header's value that makes its reading the VM's last call.
pub const LEAST: usize = 4_000;

/// How many calls more one may be granted: what is longer than [`LEAST`] and these dooms nobody.
pub const CALLS: usize = 32;

/// The call that reads a header, and the place of its parameter that says where the length goes.
const READS: (&str, u32) = ("proxy_get_header_map_value", 4);

/// Writes the doomed form of `module` to `to`.
///
/// # Panics
/// Where the module cannot be read or is none, or the file cannot be written.
pub fn write(module: &Path, to: &Path) {
    let bytes = fs::read(module).expect("a module");
    let mut doom = Doom::of(&bytes);
    let mut doomed = Module::new();
    doom.parse_core_module(&mut doomed, Parser::new(0), &bytes)
        .expect("a module as wasm-ld has it");
    fs::write(to, doomed.finish()).expect("a place for the module");
}

/// What is between the module and its host.
struct Doom {
    wrappers: Vec<Wrapper>,
    /// Functions by import: each one's wrapper.
    by_import: HashMap<u32, u32>,
    /// The global that says how many calls are left, plus one; 0 while nothing is wrong.
    left: u32,
}

struct Wrapper {
    import: u32,
    type_index: u32,
    parameters: u32,
    /// The parameter that says where the length of a header goes.
    length_at: Option<u32>,
}

impl Doom {
    fn of(module: &[u8]) -> Self {
        let (mut types, mut functions, mut globals) = (Vec::new(), 0, 0);
        let mut wrappers = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            match payload.expect("a module") {
                Payload::TypeSection(section) => {
                    types = section.into_iter_err_on_gc_types().map(Result::unwrap).collect();
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.expect("an import");
                        let TypeRef::Func(type_index) = import.ty else { continue };
                        if import.name.starts_with("proxy_") {
                            wrappers.push(wrapper(functions, type_index, import.name, &types));
                        }
                        functions += 1;
                    }
                }
                Payload::FunctionSection(section) => functions += section.count(),
                Payload::GlobalSection(section) => globals = section.count(),
                _ => {}
            }
        }
        let numbers = functions..;
        let by_import = wrappers.iter().map(|wrapper: &Wrapper| wrapper.import).zip(numbers);
        Self { by_import: by_import.collect(), wrappers, left: globals }
    }
}

fn wrapper(import: u32, type_index: u32, name: &str, types: &[FuncType]) -> Wrapper {
    let parameters = types[type_index as usize].params().len();
    Wrapper {
        import,
        type_index,
        parameters: u32::try_from(parameters).expect("few parameters"),
        length_at: (name == READS.0).then_some(READS.1),
    }
}

impl Wrapper {
    /// Every call of the ABI returns a status, as an `i32`.
    fn body(&self, left: u32) -> Function {
        let status = self.parameters;
        let mut function = Function::new([(1, ValType::I32)]);
        let mut code = function.instructions();
        (0..self.parameters).for_each(|parameter| {
            code.local_get(parameter);
        });
        code.call(self.import).local_set(status);
        if let Some(length_at) = self.length_at {
            doom_by_length(&mut code, length_at, left);
        }
        code.global_get(left).if_(BlockType::Empty);
        code.global_get(left).i32_const(1).i32_sub().global_set(left);
        code.global_get(left).i32_eqz().if_(BlockType::Empty).unreachable().end();
        code.end();
        code.local_get(status).end();
        function
    }
}

/// Where the length is one of those that doom, so many calls are left, this one among them.
fn doom_by_length(code: &mut InstructionSink<'_>, length_at: u32, left: u32) {
    let length = MemArg { offset: 0, align: 2, target: MemArgTarget::Memory(0), ordering: None };
    let beyond = |code: &mut InstructionSink<'_>| {
        code.local_get(length_at).i32_load(length).i32_const(LEAST as i32).i32_sub();
    };
    beyond(code);
    code.i32_const(CALLS as i32).i32_lt_u().if_(BlockType::Empty);
    beyond(code);
    code.i32_const(1).i32_add().global_set(left);
    code.end();
}

impl Reencode for Doom {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error> {
        Ok(self.by_import.get(&function).copied().unwrap_or(function))
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_function_section(self, functions, section)?;
        for wrapper in &self.wrappers {
            functions.function(wrapper.type_index);
        }
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: GlobalSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_global_section(self, globals, section)?;
        let counter = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(counter, &ConstExpr::i32_const(0));
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_code_section(self, code, section)?;
        for wrapper in &self.wrappers {
            code.function(&wrapper.body(self.left));
        }
        Ok(())
    }
}

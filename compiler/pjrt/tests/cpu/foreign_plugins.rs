//! Files that are no plugin for us.

use std::{fs, path::Path, process::Command};

use twinflow_pjrt::{Client, ClientOptions, PjrtError, Platform, Plugin};

fn refusal(path: &Path) -> PjrtError {
    Plugin::discover(Platform::Cpu, Some(path)).map(|plugin| panic!("{plugin:?} was accepted")).unwrap_err()
}

/// A library made of C code, in a folder that must outlive its use.
fn library(folder: &Path, code: &str) -> std::path::PathBuf {
    let (source, library) = (folder.join("plugin.c"), folder.join("plugin.so"));
    fs::write(&source, code).unwrap();
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    assert!(status.expect("these tests need a C compiler, cc").success());
    library
}

#[test]
fn a_missing_file_is_named_with_its_origin() {
    let error = refusal(Path::new("/nowhere/plugin.so"));
    let message = error.to_string();
    assert!(matches!(error, PjrtError::NamedPluginMissing { .. }), "{message}");
    assert!(message.contains("/nowhere/plugin.so") && message.contains("the settings"), "{message}");
}

#[test]
fn a_text_file_is_no_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin.so");
    fs::write(&path, "not a library").unwrap();
    let error = refusal(&path);
    assert!(matches!(error, PjrtError::NotALibrary { .. }), "{error}");
    assert!(error.to_string().contains("is not a PJRT plugin"), "{error}");
}

#[test]
fn another_library_is_no_plugin() {
    let folder = tempfile::tempdir().unwrap();
    for code in ["int other(void) { return 1; }", "void *GetPjrtApi(void) { return 0; }"] {
        let error = refusal(&library(folder.path(), code));
        assert!(matches!(error, PjrtError::NotAPlugin { .. }), "{error}");
        assert!(error.to_string().contains("is not a PJRT plugin"), "{error}");
    }
}

/// A table as short as a plugin may make it: size, extensions, version.
fn table(major: i32, minor: i32) -> String {
    format!(
        "#include <stddef.h>
        struct version {{ size_t size; void *extensions; int major, minor; }};
        static struct {{ size_t size; void *extensions; struct version version; }} table =
            {{ sizeof table, 0, {{ sizeof(struct version), 0, {major}, {minor} }} }};
        void *GetPjrtApi(void) {{ return &table; }}"
    )
}

#[test]
fn old_and_future_plugins_are_refused_by_version() {
    for (major, minor) in [(0, 54), (0, 80), (1, 90)] {
        let folder = tempfile::tempdir().unwrap();
        let error = refusal(&library(folder.path(), &table(major, minor)));
        let message = error.to_string();
        assert!(matches!(error, PjrtError::Version { .. }), "{message}");
        assert!(message.contains(&format!("C API {major}.{minor}")) && message.contains("0.81"), "{message}");
    }
}

#[test]
fn a_function_beyond_the_table_is_not_called() {
    let folder = tempfile::tempdir().unwrap();
    let error = refusal(&library(folder.path(), &table(0, 90)));
    assert!(matches!(error, PjrtError::Unsupported { function: "PJRT_Plugin_Initialize", minor: 90, .. }), "{error}");
}

#[test]
fn a_plugin_is_opened_once() {
    let first = crate::plugin();
    let again = Plugin::discover(Platform::Cpu, Some(first.path())).unwrap();
    assert_eq!(first.path(), again.path());
    assert_eq!(first.platform(), Platform::Cpu);
}

#[test]
fn a_plugin_for_another_platform_is_named() {
    let cpu = crate::plugin();
    let as_cuda = Plugin::discover(Platform::Cuda, Some(cpu.path())).unwrap();
    let error = Client::new(&as_cuda, &ClientOptions::default()).unwrap_err();
    assert!(matches!(error, PjrtError::Platform { expected: Platform::Cuda, .. }), "{error}");
}

//! Builds the libopus that is in opusic-sys a second time, without neural networks and under other names, so that both
//! can be linked into one library.
//!
//! Names are changed by the preprocessor: a first, unoptimised build tells which ones there are on this processor, from
//! the index of its archive, and the second has each of them defined as another.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const PREFIX: &str = "antiphon_light_";
const LIBRARY: &str = "antiphon_opus_light";
/// Where the sources of libopus are, for those who have them somewhere else.
const SOURCE: &str = "ANTIPHON_OPUS_SOURCE";
/// Stands behind a function of libopus', in its file.
const OURS: &str = "src/warped_autocorrelation.c";

fn main() {
    for path in ["build.rs", OURS, "../../Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for variable in [SOURCE, "CFLAGS", "CC"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let source = quickened(&source(), &out.join("source"));

    let plain = build(&source, &out.join("plain"), &[], false);
    let names: Vec<String> =
        defined(&plain).into_iter().map(|name| format!("#define {name} {PREFIX}{name}\n")).collect();
    let header = out.join("names.h");
    fs::write(&header, names.concat()).expect("OUT_DIR can be written to");

    let header = header.to_str().expect("OUT_DIR is UTF-8");
    let renamed = build(&source, &out.join("renamed"), &["-include", header], true);
    let left: Vec<String> = defined(&renamed).into_iter().filter(|name| !name.starts_with(PREFIX)).collect();
    assert!(left.is_empty(), "these names of libopus would be there twice: {left:?}");
    fs::copy(&renamed, out.join(format!("lib{LIBRARY}.a"))).expect("OUT_DIR can be written to");

    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=static={LIBRARY}");
}

/// SILK's quantiser on AVX2, and the condition under which libopus uses it.
const QUANTISER: &str = "silk/x86/NSQ_del_dec_avx2.c";
const USED: &str = "return psEncC->nStatesDelayedDecision == 3 ||";
const USED_MORE: &str =
    "return (psEncC->nStatesDelayedDecision == 2 && is_intel()) || psEncC->nStatesDelayedDecision == 3 ||";
/// CPUID's manufacturer; asked once, since on a virtual machine that takes long.
const IS_INTEL: &str = "#include <cpuid.h>
static int is_intel(void)
{
    static int known = -1;
    unsigned int highest, b, c, d;
    if (known < 0)
        known = __get_cpuid(0, &highest, &b, &c, &d) && b == signature_INTEL_ebx && c == signature_INTEL_ecx;
    return known;
}
";
/// Its autocorrelation, and the name that it gets there.
const CORRELATION: &str = "silk/float/warped_autocorrelation_FLP.c";
const CORRELATES: &str = "void silk_warped_autocorrelation_FLP(";
const PLAIN: &str = "static void plain(";

/// The sources with two files changed, and links in place of all others. Packets stay the same, bit for bit.
///
/// libopus has a quantiser for AVX2 that it does not use for two delayed states, which is what complexities 2 to 5 have,
/// because certain processors of AMD's are slower with it; Intel's encode in a seventh less time. And it has an
/// autocorrelation of one operation after the other, for which ours stands in where there is AVX2.
fn quickened(source: &Path, to: &Path) -> PathBuf {
    if variable("CARGO_CFG_TARGET_ARCH") != "x86_64" || !cfg!(unix) {
        return source.to_owned();
    }
    let read = |file: &str| fs::read_to_string(source.join(file)).unwrap_or_default();
    let (quantiser, correlation) = (read(QUANTISER), read(CORRELATION));
    if quantiser.matches(USED).count() != 1 || correlation.matches(CORRELATES).count() != 1 {
        println!("cargo::warning=libopus has changed: it is built as it is, and encodes more slowly than it could");
        return source.to_owned();
    }
    let ours = Path::new(&variable("CARGO_MANIFEST_DIR")).join(OURS);
    let ours = fs::read_to_string(&ours).unwrap_or_else(|error| panic!("{}: {error}", ours.display()));
    let changed = [
        (PathBuf::from(QUANTISER), IS_INTEL.to_owned() + &quantiser.replace(USED, USED_MORE)),
        (PathBuf::from(CORRELATION), correlation.replace(CORRELATES, PLAIN) + &ours),
    ];
    let _ = fs::remove_dir_all(to);
    mirror(source, to, Path::new(""), &changed);
    to.to_owned()
}

/// Makes the folder `within` of `to` from that of `source`: changed files, and links to the others.
fn mirror(source: &Path, to: &Path, within: &Path, changed: &[(PathBuf, String)]) {
    fs::create_dir_all(to.join(within)).expect("OUT_DIR can be written to");
    for entry in fs::read_dir(source.join(within)).expect("the sources can be read").flatten() {
        let path = within.join(entry.file_name());
        if let Some((_, text)) = changed.iter().find(|(file, _)| *file == path) {
            fs::write(to.join(&path), text).expect("OUT_DIR can be written to");
        } else if changed.iter().any(|(file, _)| file.starts_with(&path)) {
            mirror(source, to, &path, changed);
        } else {
            link(&entry.path(), &to.join(&path));
        }
    }
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) {
    std::os::unix::fs::symlink(from, to).expect("OUT_DIR can have links");
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) {}

/// The archive that was built.
fn build(source: &Path, out: &Path, flags: &[&str], optimised: bool) -> PathBuf {
    let features = variable("CARGO_CFG_TARGET_FEATURE");
    let has = |feature: &str| features.split(',').any(|one| one == feature);
    let on = |on: bool| if on { "ON" } else { "OFF" };
    let mut config = cmake::Config::new(source);
    // As opusic-sys builds it, whose processors are those that Rust builds for; better ones are found as it runs.
    config
        .out_dir(out)
        .profile(if optimised { "Release" } else { "Plain" })
        .define("CMAKE_INSTALL_LIBDIR", "lib")
        .define("CMAKE_TRY_COMPILE_TARGET_TYPE", "STATIC_LIBRARY")
        .define("OPUS_INSTALL_PKG_CONFIG_MODULE", "OFF")
        .define("OPUS_INSTALL_CMAKE_CONFIG_MODULE", "OFF")
        .define("OPUS_FORTIFY_SOURCE", on(optimised))
        .define("OPUS_DRED", "OFF")
        .define("OPUS_DEEP_PLC", "OFF")
        .define("OPUS_OSCE", "OFF");
    match variable("CARGO_CFG_TARGET_ARCH").as_str() {
        "x86_64" | "x86" => {
            config
                .define("OPUS_X86_PRESUME_SSE", on(has("sse")))
                .define("OPUS_X86_PRESUME_SSE2", on(has("sse2")))
                .define("OPUS_X86_PRESUME_SSE4_1", on(has("sse4.1")))
                .define("OPUS_X86_PRESUME_AVX2", on(has("avx2") && has("fma")));
        }
        "aarch64" | "arm" => {
            config.define("OPUS_PRESUME_NEON", on(has("neon")));
        }
        _ => {}
    }
    if Command::new("ninja").arg("--version").output().is_ok_and(|output| output.status.success()) {
        config.generator("Ninja");
    }
    flags.iter().for_each(|flag| {
        config.cflag(flag);
    });
    config.build().join("lib").join("libopus.a")
}

/// The names that an archive defines, from its first member: the index in the manner of System V, or of BSD.
fn defined(archive: &Path) -> BTreeSet<String> {
    let bytes = fs::read(archive).unwrap_or_else(|error| panic!("{}: {error}", archive.display()));
    let mut names = index(&bytes).unwrap_or_else(|| panic!("{}: an archive without an index", archive.display()));
    // What has a point in it no C program can name: compilers make such of other names, as AddressSanitizer does.
    names.retain(|name| !name.contains('.'));
    assert!(!names.is_empty(), "{}: an index without names", archive.display());
    names
}

fn index(bytes: &[u8]) -> Option<BTreeSet<String>> {
    const HEADER: usize = 60;
    let header = bytes.strip_prefix(b"!<arch>\n")?.get(..HEADER)?;
    let text = |range: std::ops::Range<usize>| std::str::from_utf8(&header[range]).map(str::trim_end).ok();
    let (name, length) = (text(0..16)?, text(48..58)?.parse::<usize>().ok()?);
    let member = bytes.get(8 + HEADER..8 + HEADER + length)?;
    let names = if name == "/" {
        let count = u32::from_be_bytes(member.get(..4)?.try_into().ok()?) as usize;
        member.get(4 + 4 * count..)?
    } else {
        // A long name stands before the content: `#1/20` is followed by twenty bytes, such as `__.SYMDEF SORTED`.
        let content = member.get(name.strip_prefix("#1/")?.parse::<usize>().ok()?..)?;
        let ranlibs = u32::from_le_bytes(content.get(..4)?.try_into().ok()?) as usize;
        content.get(4 + ranlibs + 4..)?
    };
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let names = names.map(|name| std::str::from_utf8(name).ok());
    let apple = variable("CARGO_CFG_TARGET_VENDOR") == "apple";
    names.map(|name| Some(if apple { name?.strip_prefix('_')? } else { name? }.to_owned())).collect()
}

/// Where opusic-sys has libopus.
fn source() -> PathBuf {
    if let Some(given) = env::var_os(SOURCE) {
        return given.into();
    }
    let told = metadata(true).or_else(|_| metadata(false));
    let told = told.unwrap_or_else(|error| panic!("where libopus is could not be found; set {SOURCE}: {error}"));
    let packages = told["packages"].as_array().into_iter().flatten();
    let manifest =
        packages.filter(|package| package["name"] == "opusic-sys").find_map(|one| one["manifest_path"].as_str());
    let manifest = manifest.unwrap_or_else(|| panic!("opusic-sys is not among the packages; set {SOURCE}"));
    Path::new(manifest).with_file_name("opus")
}

/// What Cargo knows of the packages.
fn metadata(offline: bool) -> Result<serde_json::Value, String> {
    let mut command = Command::new(variable("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &variable("TARGET")]);
    command.args(["--manifest-path", &format!("{}/Cargo.toml", variable("CARGO_MANIFEST_DIR"))]);
    command.args(offline.then_some("--offline"));
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

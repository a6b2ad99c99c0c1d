//! Kafka's jar files, resolved once by Maven into the ignored folder `.cache/kafka` of the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const KAFKA_VERSION: &str = "4.1.1";

/// What Maven resolves: the broker, and a backend of its logging.
const PROJECT: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>shoal</groupId><artifactId>broker-for-tests</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"#;

/// The class path of the broker, or why there is none.
pub fn resolve() -> Result<String, String> {
    works("java", "-version")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/kafka");
    let resolved = folder.join(KAFKA_VERSION);
    fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    // Test programs may run at the same time: one resolves, the others wait.
    let lock = fs::File::create(folder.join("lock")).map_err(|error| format!("no lock file: {error}"))?;
    lock.lock().map_err(|error| format!("no lock: {error}"))?;
    if !resolved.join("complete").exists() {
        works("mvn", "-version")?;
        download(&resolved)?;
    }
    Ok(format!("{}/*", resolved.join("lib").display()))
}

fn download(resolved: &PathBuf) -> Result<(), String> {
    fs::create_dir_all(resolved).map_err(|error| format!("{} cannot be made: {error}", resolved.display()))?;
    fs::write(resolved.join("pom.xml"), PROJECT.replace("KAFKA_VERSION", KAFKA_VERSION))
        .map_err(|error| format!("pom.xml cannot be written: {error}"))?;
    let output = Command::new("mvn")
        .args(["--quiet", "--batch-mode", "dependency:copy-dependencies", "-DoutputDirectory=lib"])
        .current_dir(resolved)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("mvn does not run: {error}"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stdout);
        return Err(format!("Maven could not resolve Kafka {KAFKA_VERSION}:\n{message}"));
    }
    fs::write(resolved.join("complete"), "").map_err(|error| format!("no mark: {error}"))
}

fn works(program: &str, argument: &str) -> Result<(), String> {
    let status = Command::new(program).arg(argument).stdin(Stdio::null()).output().map(|output| output.status);
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{program} {argument}` ends with {status}")),
        Err(error) => Err(format!("`{program}` does not run: {error}")),
    }
}

import LinuxOS
import RegistryInterface

/// A file that readers see whole or not at all, as node exporter's textfile collector needs it.
enum TextFileWriter {
  /// Writes beside the file and renames; everybody may read it.
  static func write(_ text: String, to path: String) throws(CommandFailure) {
    let beside = temporary(path)
    do throws(SystemError) {
      try Files.remove(beside)
      let file = try Files.open(beside, .createNew)
      do throws(SystemError) {
        try file.write(Array(text.utf8), at: 0)
        try Files.changeMode(of: beside, to: 0o644)
        try Files.rename(beside, to: path)
      } catch {
        _ = try? Files.remove(beside)
        throw error
      }
    } catch {
      throw CommandFailure("file was not written", cause: "\(error)", status: .failure)
    }
  }

  /// Removes the file, so that no old numbers are taken for new ones.
  static func remove(_ path: String) { _ = try? Files.remove(path) }

  /// A name that the collector passes over: it begins with a dot and does not end in `.prom`.
  static func temporary(_ path: String) -> String {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    let directory = parts.dropLast().map { "\($0)/" }.joined()
    return "\(directory).\(parts.last ?? "").\(ThisProcess.pid)"
  }
}

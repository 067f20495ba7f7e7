import CLinux
import Glibc

extension ThisProcess {
  /// All variables of the environment whose names begin with `prefix`. Of two with one name the last counts.
  public static func environment(beginningWith prefix: String) -> [String: String] {
    var result: [String: String] = [:]
    // SAFETY: nothing in this package changes the environment; the list ends with a null pointer.
    var next = unsafe clinux_environment_list()
    while let entry = unsafe next, let text = unsafe entry.pointee {
      let variable = unsafe String(cString: text)
      if variable.hasPrefix(prefix), let equals = variable.firstIndex(of: "=") {
        result[String(variable[..<equals])] = String(variable[variable.index(after: equals)...])
      }
      unsafe next = entry + 1
    }
    return result
  }

  /// Ends this process at once, from any thread; nothing is flushed or cleaned up.
  ///
  /// The corresponding C function is `_exit`.
  public static func endAtOnce(status: Int32) -> Never { _exit(status) }
}

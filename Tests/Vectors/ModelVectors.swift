import LinuxOS

/// Drives the model's firmware from another program, which checks it with cryptography of its own.
///
/// Each line of the standard input is a command, `name key=value …`; values are hexadecimal bytes, or
/// numbers in decimal where a field is one. Each is answered by one line: `ok key=value …`, `refused STATUS`
/// with the firmware's status in decimal, or `error WHAT` for a command that makes no sense. Keys that are
/// secret on hardware never come out here either.
@main
struct ModelVectors {
  static func main() throws {
    var session = VectorSession()
    let output = OwnedDescriptor(adopting: 1)
    while let line = readLine() {
      var rest = Array((session.answer(line) + "\n").utf8)
      // At once: whoever drives the program waits for it.
      while !rest.isEmpty { rest.removeFirst(try output.write(rest)) }
    }
  }
}

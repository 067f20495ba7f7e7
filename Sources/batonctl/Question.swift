import LinuxOS
import RegistryInterface

/// A question to the person at the terminal.
enum Question {
  /// Whether there is somebody to ask.
  static var canAsk: Bool { Terminal.isTerminal(0) && Terminal.isTerminal(2) }

  /// Asks, and waits for a line.
  ///
  /// - Parameters:
  ///   - text: The question without the answers.
  ///   - signals: SIGINT and SIGTERM, which end the waiting.
  /// - Returns: True for y and yes; false for everything else, the end of input, and a signal.
  static func ask(_ text: String, signals: borrowing SignalDescriptor) -> Bool {
    StandardStream.error.write("\(text) [y/N] ")
    var interests = [Poller.Interest(0), Poller.Interest(signals.descriptor.number)]
    while (try? Poller.wait(&interests, timeoutNanoseconds: nil)) != nil {
      if interests[1].isReady, signals.next() != nil { break }
      guard interests[0].isReady else { continue }
      let line = read()
      if line.isEmpty { break }
      return isYes(String(decoding: line, as: UTF8.self))
    }
    StandardStream.error.write("\n")
    return false
  }

  /// What is there on standard input; empty at its end.
  private static func read() -> [UInt8] {
    let input = OwnedDescriptor(adopting: 0)
    let line = (try? input.read(maximum: 1024)) ?? []
    // It was only borrowed, and stays open.
    _ = input.release()
    return line
  }

  /// Whether an answer is a yes.
  static func isYes(_ answer: String) -> Bool {
    let word = answer.lowercased().filter { !$0.isWhitespace }
    return word == "y" || word == "yes"
  }
}

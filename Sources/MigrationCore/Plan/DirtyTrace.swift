/// How many pages a guest wrote in each of many short times, one after the other.
///
/// A guest that writes much at once and then little for a while writes neither as much as its average in a time as short
/// as a pause. What a migration may meet in such times is what was met before.
public struct DirtyTrace: Hashable, Sendable {
  private struct Window: Hashable {
    let seconds: Double
    let pages: Double
  }

  private var windows: [Window] = []
  /// How long it is.
  public private(set) var seconds = 0.0

  /// Nothing was seen yet.
  public init() {}

  /// Adds the time that followed on what was added before.
  ///
  /// - Parameters:
  ///   - pages: Distinct pages written.
  ///   - nanoseconds: In this time; 0 tells nothing and is left out.
  public mutating func add(pages: UInt64, nanoseconds: UInt64) {
    guard nanoseconds > 0 else { return }
    let window = Window(seconds: Double(nanoseconds) / 1e9, pages: Double(pages))
    windows.append(window)
    seconds += window.seconds
  }

  /// What was written in a time that begins somewhere in the trace, which repeats itself.
  ///
  /// - Parameters:
  ///   - start: In seconds from the begin.
  ///   - duration: In seconds.
  /// - Returns: The sum of its windows, of which the same page may be part in each, and the most that a part of it has
  ///   that counts every page once. Nil for times that are too long for this trace to tell of.
  /// - Complexity: O(windows).
  func pages(from start: Double, seconds duration: Double) -> (sum: Double, most: Double)? {
    guard duration <= seconds / Self.repetitions else { return nil }
    var (sum, most) = (0.0, 0.0)
    var rest = max(0, duration)
    var at = start.truncatingRemainder(dividingBy: seconds)
    var index = 0
    while rest > 1e-12 {
      let window = windows[index % windows.count]
      index += 1
      guard at < window.seconds else {
        at -= window.seconds
        continue
      }
      let part = min(rest, window.seconds - at)
      let pages = window.pages * part / window.seconds
      sum += pages
      most = max(most, pages)
      rest -= part
      at = 0
    }
    return (sum, most)
  }

  /// So many times as long has a trace to be as what it tells of.
  private static let repetitions = 4.0

  /// Moments to begin at, in seconds: evenly spread, so that each is as likely as the others.
  var starts: [Double] {
    windows.isEmpty ? [0] : (0..<Self.startCount).map { seconds * Double($0) / Double(Self.startCount) }
  }
  private static let startCount = 31
}

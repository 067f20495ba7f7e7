/// Something did not happen, or happened otherwise, in a test or the demo.
public struct HarnessFailure: Error, CustomStringConvertible, Sendable {
  public let description: String

  public init(_ description: String) { self.description = description }
}

/// A version of the firmware's API, as certificates, policies and SEV_PLATFORM_STATUS have it.
public struct APIVersion: Hashable, Sendable, Comparable, CustomStringConvertible {
  public var major: UInt8
  public var minor: UInt8

  /// The version that every firmware has reached.
  public static let zero = APIVersion(major: 0, minor: 0)

  public init(major: UInt8, minor: UInt8) {
    self.major = major
    self.minor = minor
  }

  public static func < (first: APIVersion, second: APIVersion) -> Bool {
    (first.major, first.minor) < (second.major, second.minor)
  }

  public var description: String { "\(major).\(minor)" }
}

public import SEVABI

extension GuestPolicy {
  /// The oldest firmware API that may run the guest.
  public var minimumAPIVersion: APIVersion {
    let (major, minor) = minimumAPI
    return APIVersion(major: major, minor: minor)
  }
}

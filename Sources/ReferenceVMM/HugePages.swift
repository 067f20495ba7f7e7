public import LinuxOS

/// What guest RAM is made of, as people write it.
public enum HugePages: String, Sendable, CaseIterable {
  case none
  case twoMebibytes = "2M"
  case oneGibibyte = "1G"

  public var pages: PageSize {
    switch self {
    case .none: .base
    case .twoMebibytes: .twoMebibytes
    case .oneGibibyte: .oneGibibyte
    }
  }

  var byteCount: Int {
    switch self {
    case .none: 4096
    case .twoMebibytes: 2 << 20
    case .oneGibibyte: 1 << 30
    }
  }
}

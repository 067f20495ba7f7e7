/// The version of all programs of this package: what `--version` says, and how a VMM calls its build.
public enum ProgramVersion {
  public static let text = "0.1.0"
}

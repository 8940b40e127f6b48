#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Applied {
    Written(Box<JournalEntry>),
    Unchanged,
}

#[derive(Clone, Copy, Debug)]
pub struct Candidate<'f> {}

pub trait Confirmable: Sized + sealed::Sealed {
    fn name_to_type(&self) -> String;
    fn digest(&self) -> Sha256;
    fn confirm(
        self,
        confirmation: &Confirmation,
    ) -> Result<Confirmed<Self>, Unconfirmed>;
    fn confirm_name(self, typed: &str) -> Result<Confirmed<Self>, Unconfirmed>;
    fn confirm_digest(self, digest: &str) -> Result<Confirmed<Self>, Unconfirmed>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    Name(String),
    Digest(String),
}

#[derive(Debug)]
#[must_use = "a confirmed change is not applied yet"]
pub struct Confirmed<C>(C);

impl Confirmed<Reviewed<'_>> {
    pub fn apply(self, writer: &mut Writer<'_>) -> Result<Applied> {}
}

impl Confirmed<Restore> {
    pub fn apply(self, writer: &mut Writer<'_>) -> Result<Restored> {}
}

#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Container {
    None,
    Gzip,
    Xz,
    Zstd,
}

impl Container {
    pub fn compress(self, bytes: &[u8]) -> Result<Vec<u8>> {}
}

impl Container {
    pub fn of(bytes: &[u8]) -> Container {}
    pub fn is_none(&self) -> bool {}
    pub fn name(self) -> &'static str {}
    pub fn unpacker(self) -> &'static str {}
    pub fn decompress(self, stored: &[u8], max: u64) -> Result<Vec<u8>> {}
    pub fn decompress_into(
        self,
        image: &mut Vec<u8>,
        stored: &[u8],
        max: u64,
    ) -> Result<()> {}
}

#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Danger {
    ModuleLayout { note: String },
    Token { note: String },
    Realtime { note: String },
    Patched { note: String },
    Crcs { differing: usize, compared: usize, symbols: Vec<String> },
}

impl Danger {
    pub fn patched(how: &str) -> Danger {}
    pub fn is_foreign(&self) -> bool {}
    pub fn sentence(&self) -> String {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    Accepted,
    Refused,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    pub offset: u64,
    pub old: Vec<u8>,
    pub new: Vec<u8>,
}

impl Edit {
    pub fn range(&self) -> Range<u64> {}
    pub fn keeps_length(&self) -> bool {}
}

#[derive(Debug)]
pub struct Error {}

impl Error {
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {}
    pub fn io(doing: &str, source: impl Into<io::Error>) -> Self {}
    #[must_use]
    pub fn on(mut self, path: impl AsRef<Path>) -> Self {}
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {}
    #[must_use]
    pub fn remedy(mut self, remedy: Remedy) -> Self {}
    #[must_use]
    pub fn reworded(self, what: impl FnOnce(&str) -> String) -> Self {}
    #[must_use]
    pub fn again(&self) -> Error {}
    pub fn kind(&self) -> ErrorKind {}
    pub fn what(&self) -> &str {}
    pub fn path(&self) -> Option<&Path> {}
    pub fn next_step(&self) -> Option<&str> {}
    pub fn suggested(&self) -> Option<&Remedy> {}
    pub fn is_errno(&self, errno: rustix::io::Errno) -> bool {}
}

impl fmt::Display for Error {}

impl std::error::Error for Error {}

impl From<Unconfirmed> for Error {}

impl From<&Refused<'_>> for Error {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    Usage,
    NotFound,
    NoVermagic,
    Io,
    NotAModule,
    Wrapped,
    Malformed,
    Truncated,
    TooLarge,
    Ambiguous,
    DoesNotFit,
    Unsupported,
    Changed,
    Busy,
    Guard,
    NotConfirmed,
    Conflict,
    NeedsRecovery,
    Lab,
    Damaged,
    Untrusted,
}

#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub step: LoaderStep,
    pub result: StepResult,
    pub module: Option<String>,
    pub kernel: Option<String>,
    pub source: Option<String>,
    pub note: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Force {
    None,
    Vermagic,
    Modversions,
    Both,
}

impl Force {
    pub fn vermagic(self) -> bool {}
    pub fn modversions(self) -> bool {}
    pub fn name(self) -> &'static str {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Guard {
    FileKind,
    LiveTree,
    Loaded,
    InstalledTree,
    Signed,
    Ima,
    AbiTokens,
    StructModule,
    Crc,
    Btf,
    Confirmed,
}

impl Guard {
    pub const ALL: [Guard; 11] = [
        Guard::FileKind,
        Guard::LiveTree,
        Guard::Loaded,
        Guard::InstalledTree,
        Guard::Signed,
        Guard::Ima,
        Guard::AbiTokens,
        Guard::StructModule,
        Guard::Crc,
        Guard::Btf,
        Guard::Confirmed,
    ];
    pub fn name(self) -> &'static str {}
    pub fn lifted_by(self) -> LiftedBy {}
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuardAnswer {
    pub guard: Guard,
    pub ruling: Ruling,
    pub reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {}

impl JournalEntry {
    pub fn seq(&self) -> u64 {}
}

#[derive(Clone, Debug)]
pub struct Kernel {}

impl Kernel {
    pub fn read(name: &KernelName, lookup: &Lookup) -> Result<Kernel> {}
}

impl Kernel {
    pub fn why_no_vermagic(&self) -> NoVermagic<'_> {}
    pub fn vermagic(&self) -> Option<&Vermagic> {}
    pub fn release(&self) -> Option<&str> {}
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelName {
    Running,
    Vermagic(Vermagic),
    Paths(Vec<PathBuf>),
}

impl KernelName {
    pub fn paths(&self) -> &[PathBuf] {}
}

impl fmt::Display for KernelName {}

impl From<&OsStr> for KernelName {}

impl From<&str> for KernelName {}

impl From<&Path> for KernelName {}

impl FromStr for KernelName {}

impl Serialize for KernelName {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LiftedBy {
    Nothing,
    LabMachine,
    Signature,
    DropBtf,
    Named(Override),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    pub force: Force,
    pub alone: bool,
    pub loader: Loader,
    pub is_patched: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Loader {
    Any,
    Kmod30,
    Kmod31,
    Kmod34,
    Kernel,
}

#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoaderStep {
    Permission,
    Container,
    Signature,
    Elf,
    Blacklist,
    ModuleLayout,
    Vermagic,
    Livepatch,
    Name,
    Sections,
    Memory,
    Exports,
    Symbols,
    Relocations,
    Btf,
}

impl LoaderStep {
    pub fn name(self) -> &'static str {}
}

#[derive(Clone, Debug)]
pub struct Lookup {
    pub max_size: u64,
    pub cache: Option<PathBuf>,
}

impl Default for Lookup {}

#[derive(Clone, Debug)]
pub struct Machine {}

impl Machine {
    pub fn here(vault: Option<&Vault>) -> Machine {}
    pub fn is_lab_machine(&self) -> bool {}
    pub fn release(&self) -> &str {}
    pub fn in_live_tree(&self, path: &Path) -> bool {}
    pub fn installed_tree(&self, path: &Path) -> Option<PathBuf> {}
    pub fn owner(&self, path: &Path) -> Option<String> {}
    pub fn ima_appraises_modules(&self) -> Option<bool> {}
    pub fn virtual_traces(&self) -> Option<String> {}
}

impl Machine {
    pub fn of(module: &Module) -> Machine {}
}

impl fmt::Display for Machine {}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mark {
    WhenRepacked,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Mode {
    Rewrite,
    Blank,
    Keep,
}

#[derive(Clone, Debug)]
pub struct Module {}

impl Module {
    pub fn open(path: &Path) -> Result<Module> {}
    pub fn machine_name(&self) -> String {}
    pub fn modinfo_values(&self, key: &str) -> impl Iterator<Item = &[u8]> {}
    pub fn imported_symbols(&self) -> impl Iterator<Item = (&[u8], Option<u64>)> {}
    pub fn exported_symbols(&self) -> impl Iterator<Item = &[u8]> {}
    pub fn is_signed(&self) -> bool {}
    pub fn signer(&self) -> Option<String> {}
}

impl Module {
    pub fn read(bytes: &[u8]) -> Result<Module> {}
    pub fn name(&self) -> Option<String> {}
    pub fn name_or_stem(&self, path: &Path) -> String {}
    pub fn vermagic(&self) -> Option<Vermagic> {}
    pub fn of_linux_2_4(&self) -> Option<&[u8]> {}
    pub fn is_stripped(&self) -> bool {}
    pub fn imported_namespaces(&self) -> impl Iterator<Item = &[u8]> {}
    pub fn after_signature(&self, container: Container, path: &Path) -> Option<String> {}
    pub fn image_len(&self) -> usize {}
}

#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Modversions {
    Keep,
    Rewrite(Arc<HashMap<String, u32>>),
    Blank,
}

impl Modversions {
    pub fn name(&self) -> &'static str {}
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NewVermagic {
    Rewrite(Vec<u8>),
    Blank,
    Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoVermagic<'k> {
    ModulesDisabled(&'k Origin),
    Stripped(&'k Origin),
    Uncertain(&'k Origin),
    NotFound,
}

impl fmt::Display for NoVermagic<'_> {}

#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    SymbolicLink(Option<PathBuf>),
    Directory,
    Fifo,
    Socket,
    Device,
    HardLinks(u64),
    Immutable,
    AppendOnly,
    Verity,
    OtherOwner,
    OtherGroup,
    Capabilities,
    ReadOnlyMount,
    NoFolder,
    FolderNotWritable,
    FolderImmutable,
    FolderAppendOnly,
}

impl Obstacle {
    pub fn is_no_regular_file(&self) -> bool {}
}

impl fmt::Display for Obstacle {}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Origin {
    Given,
    File(PathBuf),
    Packaged { path: String, package: Box<Origin> },
    Part { of: Box<Origin>, part: String },
    ReferenceModule(PathBuf),
    Modules { count: usize, unreadable: usize, of: Box<Origin> },
    BuiltInList(Box<Origin>),
    Imports(Box<Origin>),
    RunningSystem,
    PackageArchitecture { name: String, package: Box<Origin> },
    FolderName { name: String, of: Box<Origin> },
    VermagicRules { release: Box<Origin>, config: Box<Origin> },
    ConfigOption { option: String, of: Box<Origin> },
    VersionLine(Box<Origin>),
    VermagicWord { word: String, of: Box<Origin> },
    Export { symbol: String, of: Box<Origin> },
    Import(String),
    OwnVermagic,
    Joined(Vec<Origin>),
    Cached,
    Other(String),
}

impl Origin {
    #[must_use]
    pub fn part(&self, part: impl Into<String>) -> Origin {}
    #[must_use]
    pub fn imports(&self) -> Origin {}
    #[must_use]
    pub fn and(self, other: Origin) -> Origin {}
}

impl Default for Origin {}

impl<'de> Deserialize<'de> for Origin {}

impl fmt::Display for Origin {}

impl From<&str> for Origin {}

impl Serialize for Origin {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Override {
    InstalledTree,
    Ima,
    AbiTokens,
    StructModule,
    Crc,
}

impl Override {
    pub const ALL: [Override; 5] = [
        Override::InstalledTree,
        Override::Ima,
        Override::AbiTokens,
        Override::StructModule,
        Override::Crc,
    ];
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides(u8);

impl Overrides {
    pub const fn none() -> Overrides {}
    pub fn all() -> Overrides {}
    #[must_use]
    pub fn with(self, one: Override) -> Overrides {}
    pub fn contains(self, one: Override) -> bool {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseSha256Error;

impl fmt::Display for ParseSha256Error {}

impl std::error::Error for ParseSha256Error {}

#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum PatchHelps {
    Yes,
    No,
    Pointless,
    Insufficient,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum PatchMode {
    Rewrite,
    Blank,
}

impl PatchMode {
    pub fn name(self) -> &'static str {}
}

#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatchPrediction {
    pub mode: PatchMode,
    pub helps: PatchHelps,
    pub verdict: Decision,
    pub stage: Option<LoaderStep>,
    pub note: String,
}

#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    pub mode: Mode,
    pub signature: Signature,
    pub modversions: &'static str,
    pub versioned: Option<Versioned>,
    pub drop_btf: bool,
    pub mark: Option<String>,
    pub container: Container,
    pub grows: bool,
    pub edits: Vec<Edit>,
    pub vermagic_before: Vermagic,
    pub vermagic_after: Option<Vermagic>,
    pub room: usize,
    pub before: Sha256,
    pub after: Sha256,
    pub bytes_after: Vec<u8>,
    pub module: Module,
    pub module_after: Module,
    pub notes: Vec<String>,
}

impl Plan {
    pub fn make(file: &[u8], request: &Request) -> Result<Plan> {}
    pub fn make_of_known(
        file: &[u8],
        before: Sha256,
        request: &Request,
    ) -> Result<Plan> {}
    pub fn inside_after(&self) -> &[u8] {}
    pub fn is_in_place(&self) -> bool {}
    pub fn digest(&self, path: &std::path::Path) -> Sha256 {}
}

#[derive(Debug)]
pub struct Proposal<'p> {}

impl<'p> Proposal<'p> {
    pub fn make(
        path: &Path,
        out: Option<&Path>,
        request: &'p Request,
        kernel: Option<&'p Kernel>,
        machine: &'p Machine,
    ) -> Result<Proposal<'p>> {}
    pub fn path(&self) -> &Path {}
    pub fn out(&self) -> Option<&Path> {}
    pub fn written(&self) -> &Path {}
    pub fn name(&self) -> &str {}
    pub fn plan(&self) -> &Plan {}
    pub fn digest(&self) -> Sha256 {}
    pub fn verdicts(&self) -> Option<&[Verdict; 2]> {}
    pub fn writes_nothing(&self) -> bool {}
    pub fn replaces_the_original(&self, vault: &Vault) -> Result<bool> {}
    pub fn review(
        self,
        overrides: Overrides,
    ) -> std::result::Result<Reviewed<'p>, Box<Refused<'p>>> {}
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    NewFile,
    RegularFile,
    Obstacles(Vec<Obstacle>),
    OutsideLiveTree,
    InLiveTree(String),
    NotLoaded,
    SameBuildLoaded(String),
    SameNameLoaded(String),
    NotInstalled,
    InInstalledTree(PathBuf),
    OwnedBy(String),
    NotSigned,
    Signed { signer: Option<Vec<u8>>, signature: Signature },
    ImaAttributes(Vec<&'static str>),
    ImaPolicy,
    NoIma { is_policy_known: bool },
    NoNewVermagic,
    SameAbi,
    OtherAbi(Vec<String>),
    NoKernel,
    LayoutUnknown,
    SameLayout,
    OtherLayout(Danger),
    VersionsHidden,
    CrcsOverwritten(Danger),
    OtherCrcs(Danger),
    NoCrcDiffers,
    NoBtf,
    BtfKept,
    BtfHidden,
    Confirmed,
    NotConfirmed,
}

impl fmt::Display for Reason {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {}

impl Recovered {
    pub fn is_settled(&self) -> bool {}
}

#[derive(Debug)]
pub struct Refused<'p>(Review<'p>);

impl<'p> Refused<'p> {
    pub fn review(&self) -> &Review<'p> {}
    pub fn guard(&self) -> Guard {}
    pub fn reason(&self) -> &Reason {}
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    OtherStateFolder,
    RemoveOrOtherStateFolder,
    OwnStateFolder,
    RaiseSizeLimit,
    ShowHistory,
    ShowJournalLine(u64),
    Recover,
    FixThenRecover,
    DiscardChanges,
    Restore,
    RestoreBlanked,
    Forget,
    AllowRepacking,
    AllowMovedSection,
    AllowNewFile,
    ShowTrailingBytes,
    ShowKernel,
    ListBackups,
    InstallMissing,
    FindMissing,
    NameSourceKernel,
    SupplyAgent,
    ReportTree,
    ListFromPipe,
    ListModinfo,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub new_vermagic: NewVermagic,
    pub signature: Signature,
    pub modversions: Modversions,
    pub drop_btf: bool,
    pub mark: Mark,
    pub in_place: bool,
    pub max_size: u64,
}

impl Request {
    pub fn new(new_vermagic: NewVermagic, signature: Signature) -> Request {}
}

#[derive(Debug)]
pub struct Restore {}

impl Restore {
    pub fn plan(vault: &Vault, path: &Path) -> Result<Restore> {}
    pub fn path(&self) -> &Path {}
    pub fn discards_changes(&self) -> bool {}
    pub fn must_have_backup(&self, vault: &Vault) -> Result<()> {}
    pub fn without_discarding(self) -> Result<Confirmed<Restore>> {}
}

impl Confirmable for Restore {}

#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Restored {
    pub entry: Option<JournalEntry>,
    pub metadata: Vec<String>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug)]
pub struct Review<'p> {}

impl<'p> Review<'p> {
    pub fn proposal(&self) -> &Proposal<'p> {}
    pub fn answers(&self) -> &[GuardAnswer] {}
    pub fn answers_with(&self, digest: Option<&str>) -> Vec<GuardAnswer> {}
    pub fn overridden(&self) -> impl Iterator<Item = Guard> {}
}

#[derive(Debug)]
pub struct Reviewed<'p>(Review<'p>);

impl<'p> Reviewed<'p> {
    pub fn review(&self) -> &Review<'p> {}
}

impl Confirmable for Reviewed<'_> {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Ruling {
    Pass,
    Refuse,
    Overridden,
}

impl Ruling {
    pub fn name(self) -> &'static str {}
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    pub const fn from_bytes(bytes: [u8; 32]) -> Sha256 {}
    pub const fn as_bytes(&self) -> &[u8; 32] {}
}

impl fmt::Debug for Sha256 {}

impl<'de> Deserialize<'de> for Sha256 {}

impl fmt::Display for Sha256 {}

impl FromStr for Sha256 {}

impl Serialize for Sha256 {}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Signature {
    Refuse,
    Strip,
    Keep,
    Renew,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepResult {
    Pass,
    Fail,
    Skip,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Token {
    pub kind: TokenKind,
    pub text: String,
    pub range: Range<usize>,
}

#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum TokenKind {
    Release,
    Smp,
    Preempt,
    PreemptRt,
    ModUnload,
    Modversions,
    Arch,
    Randstruct,
    Compiler,
    Retpoline,
    Unknown,
}

impl TokenKind {
    pub fn name(self) -> &'static str {}
    pub fn changes_layout(self) -> bool {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unconfirmed {
    OtherName,
    OtherDigest,
    NobodyToAsk,
    Cancelled,
}

impl fmt::Display for Unconfirmed {}

impl std::error::Error for Unconfirmed {}

#[derive(Clone, Debug)]
pub struct Vault {}

impl Vault {
    pub fn at(folder: impl Into<PathBuf>) -> Vault {}
    #[must_use]
    pub fn compressing(self, compress: bool) -> Vault {}
    pub fn folder(&self) -> &Path {}
    pub fn is_there(&self) -> bool {}
    pub fn must_be_trusted(&self) -> Result<()> {}
}

impl Vault {
    pub fn writer(&self) -> Result<Writer<'_>> {}
}

#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub answer: Decision,
    pub errno: Option<i32>,
    pub generic_errno: Option<i32>,
    pub errnos: Vec<i32>,
    pub undecided: Vec<LoaderStep>,
    pub dmesg: Vec<String>,
    pub is_dmesg_open: bool,
    pub taint: Option<String>,
    pub stage: Option<LoaderStep>,
    pub is_changed: bool,
    pub findings: Vec<Finding>,
    pub needs: Vec<String>,
    pub patched: [PatchPrediction; 2],
    pub dangers: Vec<Danger>,
}

impl Verdict {
    pub fn errno_words(&self) -> Option<String> {}
    pub fn patch_helps(&self) -> PatchHelps {}
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vermagic {}

impl Vermagic {
    pub fn differs_by_last_space(&self, other: &Vermagic) -> bool {}
}

impl Vermagic {
    pub fn parse(raw: &[u8]) -> Self {}
    pub fn as_bytes(&self) -> &[u8] {}
    pub fn tokens(&self) -> &[Token] {}
    pub fn release(&self) -> Option<&Token> {}
    pub fn is_bare_release(&self) -> bool {}
    pub fn has(&self, kind: TokenKind) -> bool {}
    pub fn architectures(&self) -> Vec<&'static str> {}
}

impl Vermagic {
    pub fn realtime(&self) -> Option<(bool, &'static str)> {}
}

impl fmt::Display for Vermagic {}

impl From<Vec<u8>> for Vermagic {}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Versioned {
    pub rewritten: usize,
    pub equal: usize,
    pub unknown: BTreeSet<String>,
    pub hidden: bool,
}

pub struct Writer<'v> {}

impl Writer<'_> {
    pub fn vault(&self) -> &Vault {}
    pub fn recovered(&self) -> &[Recovered] {}
    pub fn was_torn(&self) -> bool {}
}

impl Drop for Writer<'_> {}

pub fn predict(subject: &Candidate<'_>, kernel: &Kernel, load: &LoadOptions) -> Verdict {}

pub fn predict_file(
    path: &Path,
    kernel: &Kernel,
    load: &LoadOptions,
) -> Result<Verdict> {}

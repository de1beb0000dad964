//! Enums whose variants are listed, and have texts: a variant cannot be forgotten.

/// Declares an enum with `ALL`, its variants in their order. After `=>` stand the texts that
/// the one or two functions after the enum give of each variant.
#[macro_export]
macro_rules! listed {
    ($(#[$attr:meta])* $vis:vis enum $Type:ident {
        $($(#[$about:meta])* $Variant:ident $(= $number:literal)?,)+
    }) => {
        $(#[$attr])*
        $vis enum $Type {
            $($(#[$about])* $Variant $(= $number)?,)+
        }

        impl $Type {
            /// All of them, in their order.
            pub const ALL: [Self; [$(stringify!($Variant)),+].len()] = [$(Self::$Variant),+];
        }
    };
    ($(#[$attr:meta])* $vis:vis enum $Type:ident {
        $($(#[$about:meta])* $Variant:ident $(= $number:literal)? => $text:literal,)+
    }
    $(#[$about_text:meta])* $text_vis:vis fn $name:ident;) => {
        $crate::listed! {
            $(#[$attr])*
            $vis enum $Type { $($(#[$about])* $Variant $(= $number)?,)+ }
        }

        impl $Type {
            $(#[$about_text])*
            #[must_use]
            $text_vis const fn $name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $text,)+
                }
            }
        }
    };
    ($(#[$attr:meta])* $vis:vis enum $Type:ident {
        $($(#[$about:meta])* $Variant:ident $(= $number:literal)? => $text:literal, $other:literal,)+
    }
    $(#[$about_text:meta])* $text_vis:vis fn $name:ident;
    $(#[$about_other:meta])* $other_vis:vis fn $other_name:ident;) => {
        $crate::listed! {
            $(#[$attr])*
            $vis enum $Type { $($(#[$about])* $Variant $(= $number)? => $text,)+ }
            $(#[$about_text])* $text_vis fn $name;
        }

        impl $Type {
            $(#[$about_other])*
            #[must_use]
            $other_vis const fn $other_name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $other,)+
                }
            }
        }
    };
}
